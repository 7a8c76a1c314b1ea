import { mkdir, readdir, readFile, rmdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { waitUntil } from "./command.ts";
import { mounts } from "./mounts.ts";
import { signal } from "./processes.ts";

/**
 * A group of its own in each hierarchy that systemd-nspawn looks at: two guests in one would both manage the
 * same tree. Returns its folders; in each, `supervisor` and `guest` are there to be joined.
 *
 * @param name Two levels, as in "sandbox/guest".
 * @param memoryMiB The guest's memory, where the machine's kernel can limit it.
 */
export async function makeCgroup(name: string, memoryMiB: number): Promise<string[]> {
  const folders = (await hierarchies()).map((hierarchy) => join(hierarchy, name));
  for (const folder of folders) {
    await mkdir(folder, { recursive: true });
    await limitMemory(folder, memoryMiB);
    for (const part of ["supervisor", "guest"])
      await mkdir(join(folder, part), { recursive: true });
  }
  return folders;
}

/** Kills all that runs in it, waits until it has ended and removes it. No error where there is none. */
export async function killCgroup(name: string): Promise<void> {
  for (const hierarchy of await hierarchies()) {
    const group = join(hierarchy, name);
    await waitUntil(async () => {
      for (const pid of await processesOf(group)) signal(pid, "SIGKILL");
      return removeGroups(group);
    }, 20);
  }
}

/** The unified hierarchy and systemd's old one have guests' groups; the old memory one limits. */
async function hierarchies(): Promise<string[]> {
  const all = await mounts();
  const unified = all.find((mount) => mount.type === "cgroup2");
  const old = all.filter(
    (mount) => mount.type === "cgroup" && /\/(systemd|memory)$/.test(mount.target),
  );
  return [...(unified ? [unified] : []), ...old].map((mount) => mount.target);
}

async function limitMemory(folder: string, memoryMiB: number): Promise<void> {
  for (const above of [dirname(dirname(folder)), dirname(folder)]) {
    await writeIfThere(join(above, "cgroup.subtree_control"), "+memory");
  }
  const bytes = String(memoryMiB * 1024 * 1024);
  await writeIfThere(join(folder, "memory.max"), bytes);
  await writeIfThere(join(folder, "memory.limit_in_bytes"), bytes);
}

/** A kernel without the controller has no such file, or refuses; the guest then has all the memory. */
async function writeIfThere(file: string, text: string): Promise<void> {
  await writeFile(file, text, { flag: "r+" }).catch(() => {});
}

async function processesOf(group: string): Promise<number[]> {
  const files = await readdir(group, { recursive: true }).catch(() => []);
  const lists = files.filter((file) => file.endsWith("cgroup.procs"));
  const texts = await Promise.all(
    lists.map((list) => readFile(join(group, list), "utf8").catch(() => "")),
  );
  return texts.flatMap((text) => text.split("\n").filter(Boolean).map(Number));
}

async function removeGroups(group: string): Promise<boolean> {
  const entries = await readdir(group, { withFileTypes: true }).catch(() => []);
  for (const entry of entries) {
    if (entry.isDirectory()) await removeGroups(join(group, entry.name));
  }
  return rmdir(group).then(
    () => true,
    (error: NodeJS.ErrnoException) => error.code === "ENOENT",
  );
}
