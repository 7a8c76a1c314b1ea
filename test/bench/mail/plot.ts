import type { MailReport, Row } from "./report.ts";
import { rounded } from "./report.ts";

const shown = ["LMTP 4K, 10", "LMTP 100K, 10", "SMTP with TLS", "reading"];
const colors = {
  "sdbox plain": "#9aa5b1",
  "sdbox encrypted": "#1f6f8b",
  "maildir plain": "#c9cfd6",
  "maildir encrypted": "#6fa8b8",
  "mdbox plain": "#dfe3e8",
  "mdbox encrypted": "#a9cdd6",
} as const;
const text = { left: 215, bar: 420, height: 13, gap: 14 };

/** Rates of all variants beside sdbox plain, as an SVG picture. */
export function plot({ rows, machine, date }: MailReport): string {
  const groups = [
    ...Map.groupBy(
      rows.filter(({ measure }) => shown.some((start) => measure.startsWith(start))),
      ({ measure }) => measure,
    ),
  ];
  const longest = Math.max(
    1,
    ...groups.flatMap(([, some]) => some.map(({ ratio }) => ratio.median)),
  );
  let y = 44;
  const drawn = groups.map(([measure, some]) => {
    const group = drawGroup(measure, some, y, longest);
    y += some.length * text.height + text.gap;
    return group;
  });
  const width = text.left + text.bar + 170;
  const note = `${machine.cores} cores, ${machine.processor}, load ${machine.load.toFixed(1)}, ${date.slice(0, 10)}`;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${y + 16}" font-family="sans-serif" font-size="11">`,
    "<title>Mail rates with and without encryption</title>",
    `<rect width="100%" height="100%" fill="#fff"/>`,
    label(
      12,
      20,
      "Rates with and without encryption; the bars are in proportion to sdbox plain",
      "start",
      13,
    ),
    ...drawn,
    label(12, y + 6, note, "start", 10),
    "</svg>",
    "",
  ].join("\n");
}

function drawGroup(measure: string, rows: Row[], top: number, longest: number): string {
  const bars = rows.map(({ variant, ratio, value, unit }, at) => {
    const y = top + at * text.height;
    const length = (ratio.median / longest) * text.bar;
    const color = Object.entries(colors).find(([name]) => name === variant)?.[1] ?? "#888";
    const words = `${rounded(value.median)} ${unit}  ${variant}`;
    return [
      `<rect x="${text.left}" y="${y}" width="${length.toFixed(1)}" height="${text.height - 2}" fill="${color}"/>`,
      label(text.left + length + 5, y + 9, words, "start", 10),
    ].join("\n");
  });
  return [label(text.left - 8, top + 10, measure, "end"), ...bars].join("\n");
}

function label(x: number, y: number, words: string, anchor: "start" | "end", size = 11): string {
  const safe = words.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
  return `<text x="${x.toFixed(1)}" y="${y}" text-anchor="${anchor}" font-size="${size}">${safe}</text>`;
}
