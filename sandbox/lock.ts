import { spawn } from "node:child_process";
import { mkdir } from "node:fs/promises";
import { dirname } from "node:path";

/**
 * Runs `work` while holding an exclusive lock on `file`, waiting for it as long as another process has it
 * (`onWait` is called once if so). The kernel frees the lock when this process ends, however it ends.
 */
export async function withLock<T>(
  file: string,
  onWait: () => void,
  work: () => Promise<T>,
): Promise<T> {
  if (process.platform !== "linux") return work();
  await mkdir(dirname(file), { recursive: true });
  const release = (await tryLock(file, ["--nonblock"])) ?? (await waitForLock(file, onWait));
  if (!release) throw new Error(`flock can't lock ${file}.`);
  try {
    return await work();
  } finally {
    release();
  }
}

function waitForLock(file: string, onWait: () => void): Promise<(() => void) | undefined> {
  onWait();
  return tryLock(file, []);
}

/** util-linux's flock holds the lock until its stdin, which is ours, closes. */
function tryLock(file: string, options: string[]): Promise<(() => void) | undefined> {
  return new Promise((resolve, reject) => {
    const holder = spawn("flock", [...options, file, "sh", "-c", "echo locked && cat"], {
      detached: true,
      stdio: ["pipe", "pipe", "inherit"],
    });
    holder.on("error", reject);
    holder.on("exit", () => resolve(undefined));
    holder.stdout.once("data", () => resolve(() => holder.stdin.end()));
  });
}
