import type { Machine } from "../machine.ts";
import { ratios, type Summary, summarize } from "../statistics.ts";

export type Unit = "mails/s" | "MB/s" | "logins/s" | "look-ups/s" | "s";

/** One measurement. What is measured first of a measure is what the others are compared with. */
export interface Sample {
  measure: string;
  variant: string;
  round: number;
  unit: Unit;
  value: number;
  /** Milliseconds of the processor that the server's services took for one: other work on the machine changes it least. */
  cpuMs?: number;
}

export interface Row {
  measure: string;
  variant: string;
  unit: Unit;
  value: Summary;
  /** To the measure's first variant in the same round. */
  ratio: Summary;
  cpuMs?: number;
}

interface Aim {
  what: string;
  limit: string;
  reached: number;
  met: boolean;
}

export interface MailReport {
  date: string;
  machine: Machine;
  seconds: number;
  rows: Row[];
  aims: Aim[];
  samples: Sample[];
}

export function makeMailReport(machine: Machine, samples: Sample[], seconds: number): MailReport {
  const rows = rowsOf(samples);
  return { date: new Date().toISOString(), machine, seconds, rows, aims: aimsOf(rows), samples };
}

/** One row for each variant of each measure, in the order in which they were first measured. */
export function rowsOf(samples: Sample[]): Row[] {
  const measures = Map.groupBy(samples, ({ measure }) => measure);
  return [...measures].flatMap(([measure, ofMeasure]) => {
    const byVariant = Map.groupBy(ofMeasure, ({ variant }) => variant);
    const [baseline = []] = byVariant.values();
    return [...byVariant].map(([variant, some]) => ({
      measure,
      variant,
      unit: some[0]?.unit ?? "s",
      value: summarize(some.map(({ value }) => value)),
      ratio: ratios(
        some.map(({ value }) => value),
        some.flatMap(({ round }) => baseline.find((one) => one.round === round)?.value ?? []),
      ),
      ...medianCpu(some),
    }));
  });
}

function medianCpu(samples: Sample[]): { cpuMs?: number } {
  const all = samples.flatMap(({ cpuMs }) => cpuMs ?? []);
  return all.length === 0 ? {} : { cpuMs: summarize(all).median };
}

/** What issue 4 wants of the product's format, sdbox encrypted. */
function aimsOf(rows: Row[]): Aim[] {
  return rows
    .filter(({ variant }) => variant === "sdbox encrypted")
    .flatMap(({ measure, ratio, value }) => {
      const atLeast = (limit: number) => [
        {
          what: measure,
          limit: `>= ${limit} of plain`,
          reached: ratio.median,
          met: ratio.median >= limit,
        },
      ];
      if (measure.startsWith("SMTP")) return atLeast(0.8);
      if (measure.startsWith("LMTP")) return atLeast(0.6);
      if (measure.startsWith("reading")) return atLeast(0.5);
      if (!measure.startsWith("listing")) return [];
      return [{ what: measure, limit: "<= 2 s", reached: value.median, met: value.median <= 2 }];
    });
}

export function mailTable({ machine, seconds, rows, aims }: MailReport): string {
  const { cores, memoryGib, processor, load, commit } = machine;
  const busy =
    load > cores / 2 ? ["The machine was busy: ratios and CPU say more than rates."] : [];
  const columns = ["", "", "min", "median", "max", "ratio", "CPU ms"];
  const lines = rows.map(({ measure, variant, unit, value, ratio, cpuMs }) => [
    `${measure}, ${unit}`,
    variant,
    ...[value.min, value.median, value.max].map(rounded),
    ratio.median.toFixed(2),
    cpuMs === undefined ? "" : cpuMs.toFixed(2),
  ]);
  return [
    `${cores} cores (${processor}), ${memoryGib} GiB, load ${load.toFixed(2)} at the start, commit ${commit || "none"}, ${Math.round(seconds)} s`,
    ...busy,
    "",
    ...aligned([columns, ...lines.map((line, at) => withoutRepeat(line, lines[at - 1]))]),
    "",
    ...aims.map(
      ({ what, limit, reached, met }) =>
        `${what}: ${reached.toFixed(2)}, aim ${limit}: ${met ? "met" : "MISSED"}`,
    ),
  ].join("\n");
}

function withoutRepeat([first = "", ...rest]: string[], before: string[] | undefined): string[] {
  return [first === before?.[0] ? "" : first, ...rest];
}

/** Two digits that count, and no exponent. */
export function rounded(value: number): string {
  return value >= 10 ? String(Math.round(value)) : value.toPrecision(value < 0.1 ? 1 : 2);
}

function aligned(rows: string[][]): string[] {
  const width = (column: number) => Math.max(...rows.map((row) => row[column]?.length ?? 0));
  const widths = (rows[0] ?? []).map((_, column) => width(column));
  return rows.map((row) =>
    row
      .map((cell, at) => (at < 2 ? cell.padEnd(widths[at] ?? 0) : cell.padStart(widths[at] ?? 0)))
      .join("  ")
      .trimEnd(),
  );
}
