// `npm run bench`: how long a first `up`, a no-op and a change take, beside what apt alone takes.
import { join, resolve } from "node:path";
import { Command, InvalidArgumentError } from "commander";
import { startCloud } from "../sandbox/cloud/client.ts";
import { setupOnly } from "../sandbox/commands/setup.ts";
import { writeFileAtomic } from "../sandbox/files.ts";
import { withLock } from "../sandbox/lock.ts";
import { sandboxDir } from "../sandbox/paths.ts";
import { Interrupted, onSignals } from "../sandbox/process.ts";
import { PulumiError } from "../sandbox/stack.ts";
import { aptAlone, fetchPackages, rolePackages } from "./bench/apt-alone.ts";
import { cleanUp } from "./bench/clean-up.ts";
import { machineFacts } from "./bench/machine.ts";
import { makeReport, type Run, table } from "./bench/report.ts";
import { measureServer } from "./bench/server.ts";

const benchDir = join(sandboxDir, "bench");
const say = (line: string) => console.error(line);

interface Options {
  runs: number;
  json?: string;
}

/** Throws once a signal has come: between two commands nothing else would notice. */
let interruption: NodeJS.Signals | undefined;
function check(): void {
  if (interruption) throw new Interrupted(interruption);
}

async function bench({ runs, json }: Options): Promise<void> {
  const machine = await machineFacts();
  const packages = await rolePackages();
  const done = await cleanly(async () => {
    say("Fetching the packages once, so that no run waits for the network.");
    await fetchPackages(packages);
    const all: Run[] = [];
    for (let run = 1; run <= runs; run++) all.push(await measureRun(run, packages));
    return all;
  });
  const report = makeReport(machine, packages, done);
  const text = `${JSON.stringify(report, null, 2)}\n`;
  const file = join(benchDir, `${report.date.replaceAll(":", "-")}.json`);
  for (const target of [file, ...(json === undefined ? [] : [resolve(json)])]) {
    await writeFileAtomic(target, text);
    say(`Written: ${target}`);
  }
  console.log(`\n${table(report)}`);
}

/** First the server, then apt: what slows the machine down for minutes meets both. */
async function measureRun(run: number, packages: string[]): Promise<Run> {
  check();
  const report = (line: string) => say(`  run ${run}, ${line}`);
  const server = await measureServer(`bench-${run}`, check, report);
  await cleanUp();
  check();
  const apt = await aptAlone(run, packages);
  report(`apt alone: ${apt.seconds.toFixed(1)} s`);
  return { ...server, aptAlone: apt };
}

/** Leaves nothing behind, however the work ends; begins with what an earlier bench had to leave. */
async function cleanly<T>(work: () => Promise<T>): Promise<T> {
  await cleanUp();
  try {
    check();
    return await work();
  } finally {
    say("Removing what the bench made.");
    await cleanUp().catch(reportRemains);
  }
}

/** Said, not thrown: why the work ended stays the error. */
function reportRemains(error: unknown): void {
  const words = error instanceof Error ? error.message : String(error);
  say(`Something could not be removed; the next bench will try again.\n${words}`);
  process.exitCode = 1;
}

function count(text: string): number {
  const number = Number(text);
  if (Number.isInteger(number) && number > 0) return number;
  throw new InvalidArgumentError("It has to be a whole number from 1 on.");
}

async function main(): Promise<void> {
  const program = new Command("npm run bench --")
    .description(
      "Measures the first `up` of a fresh stack by its steps, a no-op, a change of one role and a preview, " +
        "and beside them apt alone installing the same packages in the same kind of guest.",
    )
    .option("--runs <number>", "how often each is measured, in turns", count, 3)
    .option(
      "--json <file>",
      "write the figures there as well; they are always written to .sandbox/bench",
    )
    .showHelpAfterError();
  const options = program.parse().opts<Options>();
  onSignals((signal) => {
    interruption ??= signal;
  });
  await setupOnly({ quiet: true });
  await startCloud();
  const waiting = () => say("Waiting for another bench in this checkout to end.");
  await withLock(join(benchDir, "lock"), waiting, () => bench(options));
}

try {
  await main();
} catch (error) {
  if (error instanceof Interrupted) {
    say(`Interrupted (${error.signal}). What the bench made is removed.`);
    process.exitCode = error.exitCode;
  } else if (
    error instanceof PulumiError ||
    (error instanceof Error && error.constructor === Error)
  ) {
    say(error.message);
    process.exitCode = 1;
  } else {
    throw error;
  }
}
