import { stat } from "node:fs/promises";
import { join } from "node:path";
import { startCloud } from "../cloud/client.ts";
import { engine } from "../engine/cli.ts";
import { pulumiEnv } from "../engine/env.ts";
import { ifExists } from "../files.ts";
import { root } from "../paths.ts";
import { run, runOnTerminal } from "../process.ts";
import { hasStack, Stack, stackConfigFile } from "../stack.ts";
import { setupOnly } from "./setup.ts";

/** Runs the engine for a person, on a stack of the sandbox with the sandbox's configuration of it. */
export async function pulumi(args: string[]): Promise<number> {
  await setupOnly({ quiet: true });
  await startCloud();
  const stack = stackOf(args) ?? "dev";
  if (stack === "dev") await refreshDev();
  const { pulumi } = await engine();
  const env = { ...(await pulumiEnv()), PULUMI_STACK: stack };
  const help = await run(pulumi, [...beforeDashes(args), "--help"], { cwd: root, env });
  const takesFile =
    help.stdout.includes("--config-file") && !args.join(" ").includes("--config-file");
  const withFile = takesFile && (await hasStack(stack));
  const all = withFile ? withOption(args, `--config-file=${stackConfigFile(stack)}`) : args;
  return runOnTerminal(pulumi, all, { cwd: root, env });
}

/** Makes dev's configuration anew where the committed file has been edited since: `config set` lasts until then. */
async function refreshDev(): Promise<void> {
  const committed = join(root, "Pulumi.dev.yaml");
  const ours = await ifExists(stat(stackConfigFile("dev")));
  const isOld = ours === undefined || ours.mtimeMs < (await stat(committed)).mtimeMs;
  if (isOld) await Stack.open("dev", { configFrom: committed });
}

/** The value of -s or --stack among pulumi's arguments. */
export function stackOf(args: string[]): string | undefined {
  const options = beforeDashes(args);
  const at = options.findIndex((one) => one === "-s" || one === "--stack");
  if (at >= 0) return options[at + 1];
  return options.map((one) => /^(?:--stack=|-s=?)(.+)$/.exec(one)?.[1]).find((name) => name);
}

/** `args` with an option more, in front of the "--" that ends options. */
export function withOption(args: string[], option: string): string[] {
  const options = beforeDashes(args);
  return [...options, option, ...args.slice(options.length)];
}

function beforeDashes(args: string[]): string[] {
  const end = args.indexOf("--");
  return end < 0 ? args : args.slice(0, end);
}
