import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { readRoleFolder } from "../../components/role.ts";
import { guestCommand } from "../../sandbox/cloud/shell.ts";
import { ifExists } from "../../sandbox/files.ts";
import { root } from "../../sandbox/paths.ts";
import { mustRun } from "../../sandbox/process.ts";
import { makeMachine, removeMachine } from "../system/cloud.ts";
import { type Sample, sample } from "./sample.ts";

/** The packages of all roles, as the program installs them. */
export async function rolePackages(): Promise<string[]> {
  const folders = await readdir(join(root, "files"));
  const packages = new Set<string>();
  for (const folder of folders) {
    const files = await ifExists(readdir(join(root, "files", folder)));
    if (!files?.includes("role.yaml")) continue;
    for (const name of readRoleFolder(folder).manifest.packages) packages.add(name);
  }
  return [...packages].sort();
}

/**
 * What nobody can do without: `apt-get update && apt-get install` in a droplet of the same kind, which is up
 * already. Like the program, without recommended packages and with the services held back.
 */
export function aptAlone(run: number, packages: string[]): Promise<Sample> {
  return inFreshDroplet(run, async (id) => {
    const { seconds, cpuSeconds, load } = await sample(() => install(id, packages));
    return { seconds, cpuSeconds, load };
  });
}

/** Brings the packages into the mirror relay's store, so that no measurement has to wait for the network. */
export function fetchPackages(packages: string[]): Promise<void> {
  return inFreshDroplet(0, (id) => install(id, ["--download-only", ...packages]));
}

async function inFreshDroplet<T>(run: number, work: (id: number) => Promise<T>): Promise<T> {
  const { id } = await makeMachine(`apt.bench-${run}.example`, {});
  try {
    // The end of the boot is not apt's. It ends "degraded" as well.
    await inGuest(id, "cloud-init status --wait; systemctl is-system-running --wait; true");
    return await work(id);
  } finally {
    await removeMachine(id);
  }
}

async function install(id: number, packages: string[]): Promise<void> {
  const apt = "DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=300";
  const script = [
    "printf '#!/bin/sh\\nexit 101\\n' >/usr/sbin/policy-rc.d && chmod 755 /usr/sbin/policy-rc.d",
    `${apt} update`,
    `${apt} --no-install-recommends install ${packages.join(" ")}`,
  ];
  await inGuest(id, script.join(" && "));
}

/** Unlike the sandbox's own `inGuest`, it ends when we are interrupted: what apt prints doesn't hold it. */
async function inGuest(id: number, script: string): Promise<void> {
  const log = "/var/log/bench.log";
  const shell = ["/bin/sh", "-c", `exec >${log} 2>&1 </dev/null; ${script}`];
  const [file = "", ...args] = await guestCommand(id, shell);
  try {
    await mustRun(file, args);
  } catch (error) {
    if (!(error instanceof Error) || error.constructor !== Error) throw error;
    const [cat = "", ...catArgs] = await guestCommand(id, ["tail", "--lines=20", log]);
    throw new Error(`apt alone failed:\n${await mustRun(cat, catArgs)}`);
  }
}
