import { mkdir, open, truncate } from "node:fs/promises";
import { dirname } from "node:path";
import { command, succeeds, waitUntil } from "./command.ts";
import type { VolumeSpec } from "./hypervisor.ts";

/** Makes the file of a volume, as sparse as the file system allows, and formats it if asked. */
export async function makeVolumeFile(file: string, spec: VolumeSpec): Promise<void> {
  await mkdir(dirname(file), { recursive: true, mode: 0o700 });
  const handle = await open(file, "w", 0o600);
  await handle.close();
  await truncate(file, spec.gigabytes * 2 ** 30);
  const label = spec.filesystemLabel === "" ? [] : ["-L", spec.filesystemLabel];
  if (spec.filesystemType === "ext4") await command("mkfs.ext4", ["-q", "-F", ...label, file]);
  if (spec.filesystemType === "xfs") await command("mkfs.xfs", ["-q", "-f", ...label, file]);
}

/** The loop device that has the file; made where there is none. */
export async function attachLoop(file: string): Promise<string> {
  return (await loopOf(file)) ?? (await command("losetup", ["--find", "--show", file])).trim();
}

/** The kernel frees it once nobody uses it any more; false where that takes longer than 5 s. */
export async function detachLoop(file: string): Promise<boolean> {
  return waitUntil(async () => {
    const device = await loopOf(file);
    if (!device) return true;
    await succeeds("losetup", ["--detach", device]);
    return false;
  }, 5);
}

export async function resizeVolumeFile(file: string, gigabytes: number): Promise<void> {
  await truncate(file, gigabytes * 2 ** 30);
  const device = await loopOf(file);
  if (device) await command("losetup", ["--set-capacity", device]);
}

export async function loopOf(file: string): Promise<string | undefined> {
  const list = await command("losetup", ["--associated", file, "--noheadings", "--output", "NAME"]);
  return list
    .trim()
    .split("\n")
    .find((line) => line !== "");
}
