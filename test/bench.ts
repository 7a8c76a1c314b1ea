// `npm run bench -- up`: how long an `up` takes. `npm run bench -- mail`: how quick the server is that it makes.
import { join, resolve } from "node:path";
import { Command, InvalidArgumentError } from "commander";
import { startCloud } from "../sandbox/cloud/client.ts";
import { setupOnly } from "../sandbox/commands/setup.ts";
import { writeFileAtomic } from "../sandbox/files.ts";
import { withLock } from "../sandbox/lock.ts";
import { sandboxDir } from "../sandbox/paths.ts";
import { Interrupted, onSignals } from "../sandbox/process.ts";
import { PulumiError } from "../sandbox/stack.ts";
import { cleanUp } from "./bench/clean-up.ts";
import { plot } from "./bench/mail/plot.ts";
import { mailTable } from "./bench/mail/report.ts";
import { benchMail } from "./bench/mail.ts";
import { table } from "./bench/report.ts";
import { benchUp } from "./bench/up.ts";

const benchDir = join(sandboxDir, "bench");
const say = (line: string) => console.error(line);

interface MailOptions {
  quick: boolean;
  json?: string;
  plot?: string;
}

/** Throws once a signal has come: between two commands nothing else would notice. */
let interruption: NodeJS.Signals | undefined;
function check(): void {
  if (interruption) throw new Interrupted(interruption);
}

/** Leaves the figures in .sandbox/bench and where it was asked to, and nothing else. */
async function bench<R extends { date: string }>(
  kind: string,
  json: string | undefined,
  measure: () => Promise<R>,
  tableOf: (report: R) => string,
): Promise<R> {
  const report = await cleanly(measure);
  const file = join(benchDir, `${kind}-${report.date.replaceAll(":", "-")}.json`);
  for (const target of [file, ...(json === undefined ? [] : [json])]) {
    await write(target, `${JSON.stringify(report, null, 2)}\n`);
  }
  console.log(`\n${tableOf(report)}`);
  return report;
}

async function write(target: string, text: string): Promise<void> {
  await writeFileAtomic(resolve(target), text);
  say(`Written: ${resolve(target)}`);
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

const jsonOption = [
  "--json <file>",
  "write the figures there as well; they are always written to .sandbox/bench",
] as const;

function commands(): Command {
  const program = new Command("npm run bench --").showHelpAfterError();
  program
    .command("up", { isDefault: true })
    .description(
      "Measures the first `up` of a fresh stack by its steps, a no-op, a change of one role and a preview, " +
        "and beside them apt alone installing the same packages in the same kind of guest.",
    )
    .option("--runs <number>", "how often each is measured, in turns", count, 3)
    .option(...jsonOption)
    .action(async ({ runs, json }: { runs: number; json?: string }) => {
      await alone(() => bench("up", json, () => benchUp(runs, check, say), table));
    });
  program
    .command("mail")
    .description(
      "Measures a server of a fresh stack: delivery, lists, reading and logins, with encryption and without, in " +
        "three mailbox formats, and with up to 100,000 mailboxes.",
    )
    .option("--quick", "one round, the product's format only, a smaller folder", false)
    .option(...jsonOption)
    .option("--plot <file>", "draw the rates there, as SVG")
    .action(async ({ quick, json, plot: picture }: MailOptions) => {
      await alone(async () => {
        const report = await bench("mail", json, () => benchMail(quick, check, say), mailTable);
        if (picture !== undefined) await write(picture, plot(report));
      });
    });
  return program;
}

async function alone(work: () => Promise<unknown>): Promise<void> {
  onSignals((signal) => {
    interruption ??= signal;
  });
  await setupOnly({ quiet: true });
  await startCloud();
  const waiting = () => say("Waiting for another bench in this checkout to end.");
  await withLock(join(benchDir, "lock"), waiting, work);
}

try {
  await commands().parseAsync();
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
