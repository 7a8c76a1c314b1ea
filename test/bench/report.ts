import type { Machine } from "./machine.ts";
import type { Sample } from "./sample.ts";
import type { ServerSamples, UpSample } from "./server.ts";
import { ratios, type Summary, summarize } from "./statistics.ts";
import type { Steps } from "./steps.ts";

/** All that one run measures; the server's part and apt's come one after the other. */
export interface Run extends ServerSamples {
  aptAlone: Sample;
}

/** Seconds, and how many times as long as apt alone in the same run. */
interface Measure {
  seconds: Summary;
  cpuSeconds: Summary;
  toAptAlone: Summary;
  steps?: Record<string, Summary>;
  commands?: Record<string, Summary>;
}

interface Aim {
  what: string;
  unit: "s" | "x apt alone";
  limit: number;
  median: number;
  met: boolean;
}

export interface Report {
  date: string;
  machine: Machine;
  packages: string[];
  measures: Record<"aptAlone" | "firstUp" | "noOp" | "oneRole" | "preview", Measure>;
  aims: Aim[];
  runs: Run[];
}

export function makeReport(machine: Machine, packages: string[], runs: Run[]): Report {
  const apt = runs.map((run) => run.aptAlone.seconds);
  const measure = (samples: Sample[]): Measure => ({
    seconds: summarize(samples.map((one) => one.seconds)),
    cpuSeconds: summarize(samples.map((one) => one.cpuSeconds)),
    toAptAlone: ratios(
      samples.map((one) => one.seconds),
      apt,
    ),
  });
  const measureUp = (samples: UpSample[]): Measure => ({
    ...measure(samples),
    steps: summarizeEach(samples.map(({ steps }) => steps)),
    commands: summarizeEach(samples.map(({ commands }) => commands)),
  });
  const measures = {
    aptAlone: measure(runs.map((run) => run.aptAlone)),
    firstUp: measureUp(runs.map((run) => run.firstUp)),
    noOp: measureUp(runs.map((run) => run.noOp)),
    oneRole: measureUp(runs.map((run) => run.oneRole)),
    preview: measure(runs.map((run) => run.preview)),
  };
  const { firstUp, noOp, oneRole } = measures;
  const aims = [
    aim("first up", firstUp.toAptAlone.median, 1.5, "x apt alone"),
    aim("no-op", noOp.seconds.median, 5, "s"),
    aim("one role", oneRole.seconds.median, 8, "s"),
  ];
  return { date: new Date().toISOString(), machine, packages, measures, aims, runs };
}

/** The report as a table for people. */
export function table({ machine, packages, measures, aims, runs }: Report): string {
  const { aptAlone, firstUp, noOp, oneRole, preview } = measures;
  const rows = [
    ["seconds", "min", "median", "max", "CPU*", "/ apt alone"],
    ...rowsOf(`apt alone (${packages.length} packages and what they need)`, aptAlone),
    ...rowsOf("first up", firstUp),
    ...rowsOf("no-op up", noOp),
    ...rowsOf("up with one role changed", oneRole),
    ...rowsOf("preview --diff with one role changed", preview),
  ];
  const { cores, memoryGib, load, node, pulumi, engine, plugins, commit } = machine;
  const origins = Object.entries(plugins).map(([name, origin]) => `${name} ${origin}`);
  return [
    `${runs.length} run${runs.length === 1 ? "" : "s"} on ${cores} cores, ${memoryGib} GiB, load ${load.toFixed(2)} at the start`,
    ...(load > cores / 2 ? ["The machine was busy: the ratios say more than the seconds."] : []),
    `node ${node}, pulumi ${pulumi} (${engine}), ${origins.join(", ")}, commit ${commit || "none"}`,
    "",
    ...aligned(rows),
    "* of the engine, its plugins and the program; of apt where that is alone",
    "",
    ...aims.map(
      ({ what, unit, limit, median, met }) =>
        `${what}: ${median.toFixed(2)} ${unit}, aim <= ${limit}: ${met ? "met" : "MISSED"}`,
    ),
  ].join("\n");
}

function aim(what: string, median: number, limit: number, unit: Aim["unit"]): Aim {
  return { what, unit, limit, median, met: median <= limit };
}

function summarizeEach(all: Steps[]): Record<string, Summary> {
  const names = Object.keys(all[0] ?? {});
  return Object.fromEntries(
    names.map((name) => [name, summarize(all.flatMap((steps) => steps[name] ?? []))]),
  );
}

function rowsOf(title: string, { seconds, cpuSeconds, toAptAlone, steps, commands }: Measure) {
  const cells = ({ min, median, max }: Summary) => [min, median, max].map((one) => one.toFixed(1));
  const parts = [
    ...Object.entries(steps ?? {}).map(([name, one]) => [`  ${name}`, ...cells(one)]),
    ...Object.entries(commands ?? {}).map(([name, one]) => [`  command ${name}`, ...cells(one)]),
  ];
  const total = [...cells(seconds), cpuSeconds.median.toFixed(1), toAptAlone.median.toFixed(2)];
  return [[title, ...total], ...parts];
}

function aligned(rows: string[][]): string[] {
  const widths = [0, 1, 2, 3, 4, 5].map((column) =>
    Math.max(...rows.map((row) => row[column]?.length ?? 0)),
  );
  return rows.map((row) =>
    row
      .map((cell, column) => {
        const width = widths[column] ?? 0;
        return column === 0 ? cell.padEnd(width) : cell.padStart(width + 2);
      })
      .join(""),
  );
}
