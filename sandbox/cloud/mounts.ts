import { readFile } from "node:fs/promises";

interface Mount {
  source: string;
  target: string;
  type: string;
}

/** As /proc/self/mounts has them, oldest first. */
export async function mounts(): Promise<Mount[]> {
  const lines = (await readFile("/proc/self/mounts", "utf8")).trim().split("\n");
  return lines.map((line) => {
    const [source = "", target = "", type = ""] = line.split(" ").map(unescaped);
    return { source, target, type };
  });
}

/** Where something is mounted in a folder or on it, innermost first. */
export async function mountsBelow(folder: string): Promise<string[]> {
  const targets = (await mounts()).map((mount) => mount.target);
  return targets.filter((target) => `${target}/`.startsWith(`${folder}/`)).reverse();
}

/** The kernel writes blanks and backslashes in octal. */
function unescaped(text: string): string {
  return text.replace(/\\(\d{3})/g, (_, octal: string) =>
    String.fromCharCode(Number.parseInt(octal, 8)),
  );
}
