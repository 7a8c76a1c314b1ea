import { readdirSync, readFileSync } from "node:fs";
import { z } from "zod";

/** A process that is told apart from a later one with the same number. */
export const processIdentity = z.object({
  pid: z.number().int().positive(),
  /** Field 22 of /proc/PID/stat: clock ticks since boot. */
  startTime: z.string(),
  /** The boot of the machine in which it ran. */
  bootId: z.string(),
});
export type ProcessIdentity = z.infer<typeof processIdentity>;

/** Throws where there is no such process. */
export function identify(pid: number): ProcessIdentity {
  const stat = readStat(pid);
  if (!stat) throw new Error(`Process ${pid} has ended.`);
  return { pid, startTime: stat.startTime, bootId: bootId() };
}

export function isAlive(identity: ProcessIdentity): boolean {
  const stat = readStat(identity.pid);
  if (!stat || stat.state === "Z") return false;
  return stat.startTime === identity.startTime && identity.bootId === bootId();
}

/** Process ids of those whose parent is `pid`. */
export function childrenOf(pid: number): number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((child) => readStat(child)?.parent === pid);
}

/** Whether it is process 1 of a PID namespace right below ours. */
export function isFirstOfNamespace(pid: number): boolean {
  return /^NSpid:\t\d+\t1$/m.test(readIfAlive(`/proc/${pid}/status`));
}

/** No error where it has ended. */
export function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "ESRCH")) throw error;
  }
}

function bootId(): string {
  return readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
}

function readStat(pid: number): { state: string; parent: number; startTime: string } | undefined {
  const text = readIfAlive(`/proc/${pid}/stat`);
  // The command's name, in parentheses, may hold blanks and parentheses itself.
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  const [state, parent] = fields;
  const startTime = fields[19];
  if (state === undefined || parent === undefined || startTime === undefined) return undefined;
  return { state, parent: Number(parent), startTime };
}

/** "" where the process has ended. */
function readIfAlive(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return "";
  }
}
