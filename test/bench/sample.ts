import { readFile } from "node:fs/promises";
import { load } from "./machine.ts";

/** One measurement of one thing. */
export interface Sample {
  /** By the clock. */
  seconds: number;
  /** Of all processes that it started and waited for: it tells a busy machine from slow work. */
  cpuSeconds: number;
  /** The machine's load average when it began. */
  load: number;
}

/** Times some work; `elapsed` is for the work's own stamps, on the same clock. */
export async function sample<Result>(
  work: (elapsed: () => number) => Promise<Result>,
): Promise<Sample & { result: Result }> {
  const before = { load: load(), cpu: await childrenCpu(), time: performance.now() };
  const elapsed = () => (performance.now() - before.time) / 1000;
  const result = await work(elapsed);
  const seconds = elapsed();
  return { seconds, cpuSeconds: (await childrenCpu()) - before.cpu, load: before.load, result };
}

/** Seconds of processor time of all ended children of this process, and theirs (proc(5): cutime, cstime). */
async function childrenCpu(): Promise<number> {
  const stat = await readFile("/proc/self/stat", "utf8");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const ticksPerSecond = 100; // USER_HZ, the same on all of Debian's machines
  return (Number(fields[13]) + Number(fields[14])) / ticksPerSecond;
}
