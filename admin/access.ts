import { z } from "zod";
import { startCloud } from "../sandbox/cloud/client.ts";
import { setupOnly } from "../sandbox/commands/setup.ts";
import { root } from "../sandbox/paths.ts";
import { lastLines, run } from "../sandbox/process.ts";
import { Stack } from "../sandbox/stack.ts";
import { type ChosenStack, ownPulumi, selectedStack, stackNamed } from "../sandbox/which-stack.ts";
import { askUnseen } from "./ask.ts";

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
  /** Null where the volume is not encrypted. */
  volumeKey: z.string().nullish(),
  onion: z.record(z.string(), z.string()).default({}),
});
type Outputs = z.infer<typeof outputs>;

/** The access that a stack has among its outputs; without a name, of the stack that is selected. */
export async function accessOf(stack?: string): Promise<Access> {
  return accessIn((await readStack(stack)).found);
}

/** The same, with the key of its encrypted volume, null where there is none. */
export async function volumeOf(stack?: string) {
  const { name, found } = await readStack(stack);
  return { name, access: accessIn(found), key: found.volumeKey ?? null };
}

/** The onion names of a stack's server, by service. */
export async function onionsOf(stack?: string): Promise<Record<string, string>> {
  return (await readStack(stack)).found.onion;
}

const accessIn = ({ ssh, sshPrivateKey }: Outputs): Access => ({
  ...ssh,
  privateKey: sshPrivateKey,
});

async function readStack(stack?: string): Promise<{ name: string; found: Outputs }> {
  const chosen = await (stack === undefined ? selectedStack() : stackNamed(stack));
  const found = outputs.safeParse(await outputsOf(chosen));
  if (found.success) return { name: chosen.name, found: found.data };
  const up = `${chosen.own ? "" : "npm run sandbox -- "}pulumi up --stack ${chosen.name}`;
  throw new Error(`Stack ${chosen.name} doesn't say how to reach its server: run \`${up}\` first.`);
}

async function outputsOf({ name, own }: ChosenStack): Promise<unknown> {
  if (own) return ownOutputs(name);
  await setupOnly({ quiet: true });
  await startCloud();
  return (await Stack.open(name)).outputs({ secrets: true });
}

async function ownOutputs(stack: string): Promise<unknown> {
  const { pulumi, env } = await ownPulumi();
  const flags = ["--json", "--show-secrets", "--non-interactive", "--stack", stack];
  const command = [pulumi, "stack", "output", ...flags];
  let result = await runPiped(command, { env });
  // Pulumi itself asks only where its output is a terminal, too.
  if (process.stdin.isTTY && /passphrase must be set/.test(result.stderr)) {
    const input = await askUnseen(`Passphrase of stack ${stack}: `);
    const file = { PULUMI_CONFIG_PASSPHRASE_FILE: "/dev/stdin" };
    result = await runPiped(command, { env: { ...env, ...file }, input });
  }
  if (result.code !== 0) {
    throw new Error(`The outputs of stack ${stack} can't be read:\n${lastLines(result.stderr)}`);
  }
  return JSON.parse(result.stdout);
}

/** With a standard input that can be opened as a file: `cat` makes a pipe, what Node makes is a socket. */
function runPiped(command: string[], options: { env: NodeJS.ProcessEnv; input?: string }) {
  return run("/bin/sh", ["-c", 'cat | exec "$@"', "sh", ...command], { cwd: root, ...options });
}
