import { cpus, loadavg, release, totalmem } from "node:os";
import { engine } from "../../sandbox/engine/cli.ts";
import { pulumiEnv } from "../../sandbox/engine/env.ts";
import { plugins } from "../../sandbox/engine/plugins.ts";
import { root } from "../../sandbox/paths.ts";
import { mustRun, run } from "../../sandbox/process.ts";

/** What the figures depend on. */
export interface Machine {
  cores: number;
  processor: string;
  memoryGib: number;
  kernel: string;
  /** Of the last minute, when the measuring began. */
  load: number;
  node: string;
  pulumi: string;
  engine: string;
  /** By name: "stand-in", "installed", "linked". */
  plugins: Record<string, string>;
  /** "" outside of a git checkout; with "+" where files differ from the commit. */
  commit: string;
}

export async function machineFacts(): Promise<Machine> {
  const { kind, pulumi } = await engine();
  const version = await mustRun(pulumi, ["version"], { env: await pulumiEnv() });
  const origins = (await plugins()).map(({ name, version, origin }) => [name, origin, version]);
  return {
    cores: cpus().length,
    processor: cpus()[0]?.model.trim() ?? "",
    memoryGib: Math.round((totalmem() / 2 ** 30) * 10) / 10,
    kernel: release(),
    load: load(),
    node: process.version,
    pulumi: version.trim(),
    engine: kind,
    plugins: Object.fromEntries(
      origins.map(([name, origin, version]) => [name, `${version} ${origin}`]),
    ),
    commit: await commit(),
  };
}

/** The load average of the last minute. */
export function load(): number {
  return loadavg()[0] ?? 0;
}

async function commit(): Promise<string> {
  const head = await run("git", ["rev-parse", "--short=12", "HEAD"], { cwd: root });
  if (head.code !== 0) return "";
  const changed = await run("git", ["status", "--porcelain"], { cwd: root });
  return head.stdout.trim() + (changed.stdout === "" ? "" : "+");
}
