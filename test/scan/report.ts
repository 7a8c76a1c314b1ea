import { type Difference, needless, reasons, unexplained } from "./reasons.ts";

/** For people: each difference with both answers, and why it is there. */
export function report(found: Difference[]): string {
  const without = unexplained(found);
  const known = found.filter((one) => !without.includes(one));
  return [
    ...known.map(paragraph),
    ...(without.length === 0 ? [] : ["Without a reason:", ...without.map(paragraph)]),
    `${known.length} differences with a reason, ${without.length} without.`,
  ].join("\n\n");
}

/** What is wrong with a whole scan, a sentence each. */
export const mistakes = (found: Difference[]) => [
  ...unexplained(found).map(({ name }) => `${name} differs, and nobody knows why.`),
  ...needless(found).map(({ about, where }) => `Nothing differs by ${about} (${where}).`),
];

function paragraph({ name, ours, plain, reasons }: Difference): string {
  const why = [...new Set(reasons.map((reason) => reason.why))];
  const lines = [indent("mailfruit", ours), indent("plain", plain)];
  return [name, ...lines, ...why.map((one) => indent("why", one))].join("\n");
}

const indent = (head: string, text: string) =>
  (text === "" ? "nothing" : text)
    .split("\n")
    .map((line, index) => `  ${(index === 0 ? head : "").padEnd(10)}${line}`)
    .join("\n");

/** The table of docs/scan.md: each reason once, with what it is about. */
export function reasonsTable(): string {
  const byReason = Map.groupBy(reasons, ({ why }) => why);
  const rows = [...byReason].map(([why, entries]) => {
    const about = [...new Set(entries.map(({ about }) => about))].join("; ");
    return `| ${about} | ${why} |`;
  });
  return ["| What differs | Why |", "| --- | --- |", ...rows].join("\n");
}
