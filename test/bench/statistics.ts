export interface Summary {
  min: number;
  median: number;
  max: number;
}

/** @throws Error where there is no value. */
export function summarize(values: number[]): Summary {
  const sorted = values.toSorted((a, b) => a - b);
  const at = (index: number): number => {
    const value = sorted[index];
    if (value === undefined) throw new Error("nothing was measured");
    return value;
  };
  const upper = Math.floor(sorted.length / 2);
  const lower = Math.ceil(sorted.length / 2) - 1;
  return { min: at(0), median: (at(lower) + at(upper)) / 2, max: at(sorted.length - 1) };
}

/** Of each value to the baseline's of the same run: what slows the machine down for a while slows both. */
export function ratios(values: number[], baseline: number[]): Summary {
  return summarize(
    values.map((value, run) => {
      const base = baseline[run];
      if (base === undefined || base <= 0) throw new Error(`run ${run + 1} has no baseline`);
      return value / base;
    }),
  );
}

/** How long at least one of the intervals was under way. */
export function covered(intervals: { start: number; end: number }[]): number {
  let sum = 0;
  let reached = Number.NEGATIVE_INFINITY;
  for (const { start, end } of intervals.toSorted((a, b) => a.start - b.start)) {
    sum += Math.max(0, end - Math.max(start, reached));
    reached = Math.max(reached, end);
  }
  return sum;
}
