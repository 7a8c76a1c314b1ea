import { join } from "node:path";
import { Listr, ListrLogger, ProcessOutput } from "listr2";
import { ensureImage } from "./cloud/image.ts";
import { ensureCli } from "./engine/cli.ts";
import { ensurePlugins } from "./engine/plugins.ts";
import { ensureLanguageHost } from "./engine/wrapper.ts";
import { ensureHostPackages, removePolicy } from "./host-packages.ts";
import { withLock } from "./lock.ts";
import { sandboxDir } from "./paths.ts";

type Report = (line: string) => void;
type Step = { title: string; work: (report: Report) => Promise<unknown> };

/** One group after the other; the steps of a group side by side, as one waits for the network while another counts. */
const groups: Step[][] = [
  [{ title: "Debian packages", work: ensureHostPackages }],
  [
    {
      title: "Pulumi engine and plugins",
      work: async (report) => {
        await ensureCli(report);
        await ensureLanguageHost();
        await ensurePlugins(report);
      },
    },
    { title: "Guest image", work: ensureImage },
  ],
];

/**
 * Makes whatever of the sandbox isn't there yet: Debian packages, engine, plugins, guest image. Each part
 * can be interrupted and run again; where all is there it takes a second. A second one at a time waits.
 *
 * @param options With `quiet` only what has to be done is spoken of.
 */
export function setup(options: { quiet?: boolean } = {}): Promise<void> {
  const waiting = () => console.error("Waiting for another setup in this checkout to end.");
  // Progress is no result: all of it goes to stderr, and stdout stays free for what a command prints.
  const isLive = process.stderr.isTTY === true && !process.env.CI && !options.quiet;
  return withLock(join(sandboxDir, "setup.lock"), waiting, async () => {
    await removePolicy();
    for (const steps of groups) await (isLive ? runLive(steps) : runPlain(steps));
  });
}

/** A list on the terminal, in which each step shows its last line while it works. */
async function runLive(steps: Step[]): Promise<void> {
  const processOutput = new ProcessOutput(process.stderr, process.stderr);
  const logger = new ListrLogger({ processOutput });
  const tasks = steps.map(({ title, work }) => ({
    title,
    task: async (_: unknown, task: { output: string; title: string }) => {
      const report = paced(100, (line) => {
        task.output = line;
      });
      task.title = `${title}${await timed(() => work(report))}`;
    },
  }));
  const rendererOptions = { logger, showErrorMessage: false };
  const behaviour = { concurrent: true, exitOnError: false, collectErrors: "minimal" } as const;
  const list = new Listr(tasks, { ...behaviour, rendererOptions, registerSignalListeners: false });
  await list.run();
  const [failed] = list.errors;
  if (failed) throw failed.error;
}

/** For a log: a line from time to time, none from a step that has nothing to do. */
async function runPlain(steps: Step[]): Promise<void> {
  const runs = steps.map(async ({ title, work }) => {
    const report = paced(10_000, (line) => console.error(`${title}: ${line}`));
    const took = await timed(() => work(report));
    if (took) console.error(`${title}: done${took}`);
  });
  await Promise.allSettled(runs); // nothing is left half done at another's error
  await Promise.all(runs);
}

/** Runs a step; returns how long it took, as " (12 s)", or "" where that is not worth a word. */
async function timed(work: () => Promise<unknown>): Promise<string> {
  const started = Date.now();
  await work();
  const seconds = Math.round((Date.now() - started) / 1000);
  return seconds > 1 ? ` (${seconds} s)` : "";
}

/** Passes on at most one line in so many milliseconds. */
function paced(pause: number, report: Report): Report {
  let next = 0;
  return (line) => {
    if (Date.now() < next || line.trim() === "") return;
    next = Date.now() + pause;
    report(line);
  };
}
