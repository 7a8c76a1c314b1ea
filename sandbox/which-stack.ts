import { readdir, readFile } from "node:fs/promises";
import { homedir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { z } from "zod";
import { engine } from "./engine/cli.ts";
import { backendUrl } from "./engine/env.ts";
import { ifExists } from "./files.ts";
import { root } from "./paths.ts";
import { run } from "./process.ts";
import { hasStack } from "./stack.ts";

/** A stack that a person means. */
export interface ChosenStack {
  /** It may have its organization in front, as in "acme/prod". */
  name: string;
  /** Whether the user's own backend holds it, or the sandbox's. */
  own: boolean;
}

/**
 * The stack of this name: the user's own where there is a Pulumi.STACK.yaml and a backend of the user's is in use, else
 * the sandbox's; `dev` is always the sandbox's.
 */
export async function stackNamed(name: string): Promise<ChosenStack> {
  if (name !== "dev" && (await hasOwnConfiguration(name))) {
    if (await hasOwnBackend()) return { name, own: true };
    throw new Error(
      `Stack ${name} needs the backend that holds its state: run \`pulumi login\` or set PULUMI_BACKEND_URL.`,
    );
  }
  if (name !== "dev" && !(await hasStack(name))) {
    const known = (await ownStacks()).join(", ");
    throw new Error(`There is no Pulumi.${name}.yaml; the stacks here are: ${known}.`);
  }
  return { name, own: false };
}

/** The stack that is selected in the user's own backend; where none is in use, the sandbox's `dev`. */
export async function selectedStack(): Promise<ChosenStack> {
  if (!(await hasOwnBackend())) return stackNamed("dev");
  const { pulumi, env } = await ownPulumi();
  const args = ["stack", "--show-name", "--non-interactive", "--color", "never"];
  const { code, stdout, stderr } = await run(pulumi, args, { cwd: root, env });
  const name = stdout.trim();
  if (code !== 0 || name === "") {
    throw new Error(
      `No stack is selected: add \`--stack NAME\`, or run \`pulumi stack select\`.\n${stderr.trim()}`,
    );
  }
  return stackNamed(name);
}

/** The engine with the user's environment as it is, for a stack of the user's own. */
export async function ownPulumi(): Promise<{ pulumi: string; env: NodeJS.ProcessEnv }> {
  const { pulumi } = await engine();
  const PATH = [dirname(pulumi), process.env.PATH].join(delimiter);
  return { pulumi, env: { ...process.env, PATH } };
}

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
