import { aptAlone, fetchPackages, rolePackages } from "./apt-alone.ts";
import { cleanUp } from "./clean-up.ts";
import { machineFacts } from "./machine.ts";
import { makeReport, type Report, type Run } from "./report.ts";
import { measureServer } from "./server.ts";

type Say = (line: string) => void;

/** How long a first `up`, a no-op and a change take, beside what apt alone takes. */
export async function benchUp(runs: number, check: () => void, say: Say): Promise<Report> {
  const machine = await machineFacts();
  const packages = await rolePackages();
  say("Fetching the packages once, so that no run waits for the network.");
  await fetchPackages(packages);
  const done: Run[] = [];
  for (let run = 1; run <= runs; run++) done.push(await measureRun(run, packages, check, say));
  return makeReport(machine, packages, done);
}

/** First the server, then apt: what slows the machine down for minutes meets both. */
async function measureRun(
  run: number,
  packages: string[],
  check: () => void,
  say: Say,
): Promise<Run> {
  check();
  const report = (line: string) => say(`  run ${run}, ${line}`);
  const server = await measureServer(`bench-${run}`, check, report);
  await cleanUp();
  check();
  const apt = await aptAlone(run, packages);
  report(`apt alone: ${apt.seconds.toFixed(1)} s`);
  return { ...server, aptAlone: apt };
}
