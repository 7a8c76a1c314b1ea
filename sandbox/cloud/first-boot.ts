import { mkdir, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { stringify } from "yaml";
import { ifExists } from "../files.ts";
import { mountDisk } from "./disk.ts";
import type { Plan } from "./network.ts";
import type { GuestRecord } from "./state.ts";

/** Mounts the disk. A fresh one gets what the first boot reads; later the files are the guest's own. */
export async function prepareDisk(plan: Plan, dir: string, guest: GuestRecord): Promise<string> {
  await mkdir(dir, { recursive: true, mode: 0o700 });
  const root = await mountDisk(dir, guest.image);
  const prepared = join(dir, "prepared");
  if ((await ifExists(stat(prepared))) !== undefined) return root;
  await writeFile(join(root, "etc/resolv.conf"), `nameserver ${plan.resolver.ipv4}\n`);
  if (guest.seed) await writeSeed(root, guest.id, guest.name, guest.seed);
  await writeFile(prepared, "");
  return root;
}

/** cloud-init's NoCloud source: a folder on the disk. */
async function writeSeed(
  root: string,
  id: number,
  name: string,
  seed: { userData: string; sshKeys: string[] },
): Promise<void> {
  const folder = join(root, "var/lib/cloud/seed/nocloud");
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const metaData = stringify({
    "instance-id": String(id),
    "local-hostname": name,
    "public-keys": seed.sshKeys,
  });
  await writeFile(join(folder, "meta-data"), metaData, { mode: 0o600 });
  await writeFile(join(folder, "user-data"), seed.userData || "#cloud-config\n", { mode: 0o600 });
}
