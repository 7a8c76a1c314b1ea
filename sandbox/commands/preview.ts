import { join } from "node:path";
import { startCloud } from "../cloud/client.ts";
import { root } from "../paths.ts";
import { runOnTerminal } from "../process.ts";
import { Stack } from "../stack.ts";
import { ownPulumi, stackNamed } from "../which-stack.ts";
import { setupOnly } from "./setup.ts";

/** `pulumi preview --diff` of a stack, of the user's own or of the sandbox's. */
export async function preview(stack: string): Promise<number> {
  const { name, own } = await stackNamed(stack);
  return own ? previewOwn(name) : previewInSandbox(name);
}

async function previewOwn(stack: string): Promise<number> {
  const { pulumi, env } = await ownPulumi();
  const args = ["preview", "--diff", "--stack", stack, "--non-interactive"];
  return runOnTerminal(pulumi, args, { cwd: root, env });
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
