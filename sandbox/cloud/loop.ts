import { mkdir, open, truncate } from "node:fs/promises";
import { dirname } from "node:path";
import { command } from "./command.ts";
import { isInstalled } from "./host.ts";
import type { VolumeSpec } from "./hypervisor.ts";

/** Makes the file of a volume, as sparse as the file system allows, and formats it if asked. */
export async function makeVolumeFile(file: string, spec: VolumeSpec): Promise<void> {
  await mkdir(dirname(file), { recursive: true, mode: 0o700 });
  const handle = await open(file, "w", 0o600);
  await handle.close();
  await truncate(file, spec.gigabytes * 2 ** 30);
  const label = spec.filesystemLabel === "" ? [] : ["-L", spec.filesystemLabel];
  if (spec.filesystemType === "ext4") await command("mkfs.ext4", ["-q", "-F", ...label, file]);
  if (spec.filesystemType === "xfs") {
    if (!(await isInstalled("mkfs.xfs")))
      throw new Error("XFS needs mkfs.xfs: apt-get install xfsprogs");
    await command("mkfs.xfs", ["-q", "-f", ...label, file]);
  }
}

/** The loop device that has the file; made where there is none. */
export async function attachLoop(file: string): Promise<string> {
  return (await loopOf(file)) ?? (await command("losetup", ["--find", "--show", file])).trim();
}

/** Where something still has it open, the kernel frees it when that ends. */
export async function detachLoop(file: string): Promise<void> {
  const device = await loopOf(file);
  if (device) await command("losetup", ["--detach", device]);
}

export async function resizeVolumeFile(file: string, gigabytes: number): Promise<void> {
  await truncate(file, gigabytes * 2 ** 30);
  const device = await loopOf(file);
  if (device) await command("losetup", ["--set-capacity", device]);
}

/** One that is only waiting for its last user to let it go is nobody's any more. */
async function loopOf(file: string): Promise<string | undefined> {
  const columns = ["--noheadings", "--raw", "--output", "AUTOCLEAR,NAME"];
  const list = await command("losetup", ["--associated", file, ...columns]);
  return list.match(/^0 (\S+)$/m)?.[1];
}
