import { join } from "node:path";
import { Listr } from "listr2";
import { ensureImage } from "./cloud/image.ts";
import { ensureCli } from "./engine/cli.ts";
import { ensurePlugins } from "./engine/plugins.ts";
import { ensureLanguageHost } from "./engine/wrapper.ts";
import { ensureHostPackages, removePolicy } from "./host-packages.ts";
import { withLock } from "./lock.ts";
import { sandboxDir } from "./paths.ts";

type Report = (line: string) => void;

/**
 * Makes whatever of the sandbox isn't there yet: Debian packages, engine, plugins, guest image. Each part
 * can be interrupted and run again; where all is there it takes a second. A second one at a time waits.
 */
export function setup(): Promise<void> {
  const waiting = () => console.error("Waiting for another setup in this checkout to end.");
  return withLock(join(sandboxDir, "setup.lock"), waiting, runSteps);
}

async function runSteps(): Promise<void> {
  await removePolicy();
  const steps = new Listr(
    [
      step("Debian packages", ensureHostPackages),
      step("Pulumi engine", async (report) => {
        await ensureCli(report);
        await ensureLanguageHost();
      }),
      step("Provider plugins", async (report) => {
        await ensurePlugins(report);
      }),
      step("Guest image", ensureImage),
    ],
    {
      renderer: isLive() ? "default" : "simple",
      registerSignalListeners: false,
      rendererOptions: isLive() ? { collapseErrors: false } : {},
    },
  );
  await steps.run();
}

function step(title: string, work: (report: Report) => Promise<void>) {
  return {
    title,
    task: async (_: unknown, task: { output: string; title: string }) => {
      const started = Date.now();
      await work(paced((line) => (task.output = line)));
      const seconds = Math.round((Date.now() - started) / 1000);
      if (seconds > 1) task.title = `${title} (${seconds} s)`;
    },
  };
}

/** Passes at most one line in a while on: on a terminal it replaces the one before, in a log it stays. */
function paced(report: Report): Report {
  const pause = isLive() ? 100 : 10_000;
  let next = 0;
  return (line) => {
    if (Date.now() < next || line.trim() === "") return;
    next = Date.now() + pause;
    report(line);
  };
}

/** Whether somebody watches a terminal, on which lines may be overwritten. */
function isLive(): boolean {
  return process.stdout.isTTY === true && !process.env.CI;
}
