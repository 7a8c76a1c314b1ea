import { mkdir, rename, rm, rmdir } from "node:fs/promises";
import { join } from "node:path";
import { command, succeeds } from "./command.ts";
import { mounts, mountsBelow } from "./mounts.ts";

/**
 * A guest's root file system in `folder/root`: what differs from the image lies in `folder/upper`. Where the
 * file system below can't carry overlayfs, it is a whole copy.
 */
export async function mountDisk(folder: string, image: string): Promise<string> {
  const root = join(folder, "root");
  if ((await isMounted(root)) || (await isCopied(root))) return root;
  const parts = { upper: join(folder, "upper"), work: join(folder, "work") };
  for (const part of [root, parts.upper, parts.work]) await mkdir(part, { recursive: true });
  const layers = { lowerdir: image, upperdir: parts.upper, workdir: parts.work };
  const options = Object.entries(layers).map(([key, path]) => `${key}=${escaped(path)}`);
  const mount = ["-t", "overlay", "overlay", "-o", options.join(","), root];
  if (!(await succeeds("mount", mount))) await copy(image, root);
  return root;
}

export async function unmountDisk(folder: string): Promise<void> {
  for (const mount of await mountsBelow(folder)) await command("umount", [mount]);
}

export async function removeDisk(folder: string): Promise<void> {
  await unmountDisk(folder);
  for (const part of ["prepared", "upper", "work", "root", "root.partial"]) {
    await rm(join(folder, part), { recursive: true, force: true });
  }
}

async function copy(image: string, root: string): Promise<void> {
  const partial = `${root}.partial`;
  await rm(partial, { recursive: true, force: true });
  await command("cp", ["--archive", "--reflink=auto", image, partial]);
  await rmdir(root);
  await rename(partial, root);
}

async function isMounted(folder: string): Promise<boolean> {
  return (await mounts()).some((mount) => mount.target === folder);
}

const isCopied = (root: string) => succeeds("test", ["-e", join(root, "usr")]);

/** overlayfs reads colons and commas as separators. */
const escaped = (path: string) => path.replace(/[\\:,]/g, "\\$&");
