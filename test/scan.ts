// `npm run scan`: what scanners see of a mailfruit and of a plain Debian, side by side.
import { join } from "node:path";
import { Command } from "commander";
import { startCloud } from "../sandbox/cloud/client.ts";
import { setupOnly } from "../sandbox/commands/setup.ts";
import { writeFileAtomic } from "../sandbox/files.ts";
import { root, sandboxDir } from "../sandbox/paths.ts";
import type { Seen } from "./scan/dialogues.ts";
import type { Place } from "./scan/place.ts";
import { plainDebian } from "./scan/plain.ts";
import { differences, unexplained } from "./scan/reasons.ts";
import { mistakes, report } from "./scan/report.ts";
import { look, lookWithTools, placeOf } from "./scan/scan.ts";
import { Scanner } from "./scan/tools.ts";
import { TestServer } from "./system/server.ts";

const recorded = join(root, "test", "scan", "plain-debian.json");
const json = (value: unknown) => `${JSON.stringify(value, null, 2)}\n`;

async function scan({ quick, record }: { quick: boolean; record: boolean }): Promise<void> {
  await setupOnly();
  await startCloud();
  const server = await TestServer.up("scan");
  const plain = await plainDebian();
  console.error("Looking at both.");
  const seen = await both(look, placeOf(server), plain);
  if (record) await writeFileAtomic(recorded, json(seen.plain));
  if (!quick) {
    console.error("Scanning both with ssh-audit, testssl.sh and nmap; some minutes.");
    const scanner = await Scanner.start();
    const tools = (place: Place) => lookWithTools(scanner, place);
    const more = await both(tools, placeOf(server), plain);
    Object.assign(seen.ours, more.ours);
    Object.assign(seen.plain, more.plain);
  }
  const found = differences(seen.ours, seen.plain);
  const text = `${report(found)}\n`;
  const folder = join(sandboxDir, "scan");
  await writeFileAtomic(join(folder, "scan.json"), json({ ...seen, differences: found }));
  await writeFileAtomic(join(folder, "scan.txt"), text);
  console.log(text);
  console.error(`Written: ${folder}/scan.json, scan.txt`);
  const wrong = quick ? unexplained(found).map(({ name }) => name) : mistakes(found);
  for (const sentence of wrong) console.error(sentence);
  if (wrong.length > 0) process.exitCode = 1;
}

async function both(work: (place: Place) => Promise<Seen>, ofOurs: Place, ofPlain: Place) {
  const [ours, plain] = await Promise.all([work(ofOurs), work(ofPlain)]);
  return { ours, plain };
}

await new Command("npm run scan --")
  .description("Scans a mailfruit and a plain Debian and says how they differ, and why.")
  .option("--quick", "only dialogues of our own, without nmap, testssl.sh and ssh-audit", false)
  .option("--record", "keep what plain Debian says in test/scan/plain-debian.json", false)
  .action(scan)
  .parseAsync();
