import { glob } from "node:fs/promises";
import { join } from "node:path";
import { startCloud } from "../cloud/client.ts";
import { root } from "../paths.ts";
import { runOnTerminal } from "../process.ts";
import { whyNoSandbox } from "../requirements.ts";
import { setup } from "../setup.ts";

/** In the order in which they run; system tests share one cloud and two cores. */
const suites = {
  unit: { concurrency: 2, minutes: 10 },
  components: { concurrency: 2, minutes: 10 },
  system: { concurrency: 1, minutes: 30 },
  tor: { concurrency: 1, minutes: 30 },
  vm: { concurrency: 1, minutes: 30 },
} as const;
type SuiteName = keyof typeof suites;
/** Without those that take as long as half of all others. */
const usual: SuiteName[] = ["unit", "components", "system"];
const names: SuiteName[] = [...usual, "tor", "vm"];
const leftOut = `Left out, as they take long: every way of using Tor, and what scanners see (npm test -- tor), and
the encrypted volume in a virtual machine (npm test -- vm).`;

/** Runs the tests of one suite or of the usual ones; returns the exit code. */
export async function test(suite: string | undefined, filters: string[]): Promise<number> {
  const chosen = suite === undefined ? usual : names.filter((name) => name === suite);
  if (chosen.length === 0) {
    throw new Error(`There is no suite ${suite}: it is one of ${names.join(", ")}.`);
  }
  const skipped = chosen.some(needsSandbox) ? await prepareSandbox() : undefined;
  const failed: string[] = [];
  for (const name of chosen) {
    if (needsSandbox(name) && skipped) continue;
    if ((await runSuite(name, filters)) !== 0) failed.push(name);
  }
  if (skipped) console.error(`\nThe system tests were skipped. ${skipped}`);
  if (suite === undefined) console.error(`\n${leftOut}`);
  if (failed.length > 0) console.error(`\nFailed: ${failed.join(", ")}.`);
  return failed.length > 0 ? 1 : 0;
}

const needsSandbox = (name: SuiteName) => name === "system" || name === "tor" || name === "vm";

/** Returns why this machine can't run the sandbox; what fails on one that can is a failure, not a skip. */
async function prepareSandbox(): Promise<string | undefined> {
  const why = await whyNoSandbox();
  if (why) return why;
  await setup();
  await startCloud();
  return undefined;
}

async function runSuite(name: SuiteName, filters: string[]): Promise<number> {
  const files = await testFiles(name, filters);
  if (files.length === 0) return 0;
  console.error(`\n${name} tests`);
  const { concurrency, minutes } = suites[name];
  const options = [
    "--test",
    "--test-reporter=spec",
    `--test-concurrency=${concurrency}`,
    `--test-timeout=${minutes * 60_000}`,
  ];
  return runOnTerminal(process.execPath, [...options, ...files], { cwd: root });
}

async function testFiles(suite: SuiteName, filters: string[]): Promise<string[]> {
  const files: string[] = [];
  for await (const file of glob(join("test", suite, "**", "*.test.ts"), { cwd: root })) {
    if (filters.length === 0 || filters.some((part) => file.includes(part))) files.push(file);
  }
  return files.sort();
}
