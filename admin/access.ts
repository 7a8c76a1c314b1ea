import { z } from "zod";
import { startCloud } from "../sandbox/cloud/client.ts";
import { setupOnly } from "../sandbox/commands/setup.ts";
import { root } from "../sandbox/paths.ts";
import { lastLines, run } from "../sandbox/process.ts";
import { Stack } from "../sandbox/stack.ts";
import { type ChosenStack, ownPulumi, selectedStack, stackNamed } from "../sandbox/which-stack.ts";

/** How to log in to a stack's server. The private key stays in memory: it is in no file, argument or environment. */
export interface Access {
  address: string;
  port: number;
  user: string;
  /** As in known_hosts without the host: "ssh-ed25519 AAAA…". */
  hostKey: string;
  privateKey: string;
}

const outputs = z.looseObject({
  ssh: z.object({ address: z.string(), port: z.number(), user: z.string(), hostKey: z.string() }),
  sshPrivateKey: z.string(),
});

/** The access that a stack has among its outputs; without a name, of the stack that is selected. */
export async function accessOf(stack?: string): Promise<Access> {
  const chosen = await (stack === undefined ? selectedStack() : stackNamed(stack));
  const found = outputs.safeParse(await outputsOf(chosen));
  if (!found.success) {
    const up = `${chosen.own ? "" : "npm run sandbox -- "}pulumi up --stack ${chosen.name}`;
    throw new Error(
      `Stack ${chosen.name} doesn't say how to reach its server: run \`${up}\` first.`,
    );
  }
  return { ...found.data.ssh, privateKey: found.data.sshPrivateKey };
}

async function outputsOf({ name, own }: ChosenStack): Promise<unknown> {
  if (own) return ownOutputs(name);
  await setupOnly({ quiet: true });
  await startCloud();
  return (await Stack.open(name)).outputs({ secrets: true });
}

async function ownOutputs(stack: string): Promise<unknown> {
  const { pulumi, env } = await ownPulumi();
  const args = ["stack", "output", "--json", "--show-secrets", "--stack", stack];
  const { code, stdout, stderr } = await run(pulumi, [...args, "--non-interactive"], {
    cwd: root,
    env,
  });
  if (code !== 0) {
    throw new Error(`The outputs of stack ${stack} can't be read:\n${lastLines(stderr)}`);
  }
  return JSON.parse(stdout);
}
