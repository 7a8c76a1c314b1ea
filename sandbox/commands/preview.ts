import { readdir, readFile } from "node:fs/promises";
import { homedir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { z } from "zod";
import { startCloud } from "../cloud/client.ts";
import { engine } from "../engine/cli.ts";
import { backendUrl } from "../engine/env.ts";
import { ifExists } from "../files.ts";
import { root } from "../paths.ts";
import { runOnTerminal } from "../process.ts";
import { hasStack, Stack } from "../stack.ts";
import { setupOnly } from "./setup.ts";

/**
 * `pulumi preview --diff` of a stack: of the user's own where it has a Pulumi.STACK.yaml and a backend of the
 * user's is in use, with the user's environment as it is; else of the sandbox's.
 */
export async function preview(stack: string): Promise<number> {
  if (stack !== "dev" && (await hasOwnConfiguration(stack))) return previewOwn(stack);
  if (stack !== "dev" && !(await hasStack(stack))) {
    const known = (await ownStacks()).join(", ");
    throw new Error(`There is no Pulumi.${stack}.yaml; the stacks here are: ${known}.`);
  }
  return previewInSandbox(stack);
}

async function previewOwn(stack: string): Promise<number> {
  if (!(await hasOwnBackend())) {
    throw new Error(
      `Stack ${stack} needs the backend that holds its state: run \`pulumi login\` or set PULUMI_BACKEND_URL.`,
    );
  }
  const { pulumi } = await engine();
  const PATH = [dirname(pulumi), process.env.PATH].join(delimiter);
  const args = ["preview", "--diff", "--stack", stack, "--non-interactive"];
  return runOnTerminal(pulumi, args, { cwd: root, env: { ...process.env, PATH } });
}

async function previewInSandbox(name: string): Promise<number> {
  await setupOnly({ quiet: true });
  await startCloud();
  const stack = await Stack.open(
    name,
    name === "dev" ? { configFrom: join(root, "Pulumi.dev.yaml") } : {},
  );
  const { code } = await stack.preview({ diff: true, allowFailure: true, onOutput: console.log });
  return code;
}

/** `stack` may have its organization in front, as in "acme/prod". */
async function hasOwnConfiguration(stack: string): Promise<boolean> {
  return (await ownStacks()).includes(stack.slice(stack.lastIndexOf("/") + 1));
}

async function ownStacks(): Promise<string[]> {
  return (await readdir(root)).flatMap((file) => /^Pulumi\.(.+)\.yaml$/.exec(file)?.[1] ?? []);
}

/** Whether the environment names a backend that is not the sandbox's, or `pulumi login` chose one. */
async function hasOwnBackend(): Promise<boolean> {
  const { PULUMI_BACKEND_URL, PULUMI_ACCESS_TOKEN, PULUMI_HOME } = process.env;
  if (PULUMI_BACKEND_URL) return PULUMI_BACKEND_URL !== backendUrl;
  if (PULUMI_ACCESS_TOKEN) return true;
  const home = PULUMI_HOME ?? join(homedir(), ".pulumi");
  const text = await ifExists(readFile(join(home, "credentials.json"), "utf8"));
  if (text === undefined) return false;
  return Boolean(z.looseObject({ current: z.string().optional() }).parse(JSON.parse(text)).current);
}
