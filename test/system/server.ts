import { join } from "node:path";
import { z } from "zod";
import { endpoint } from "../../sandbox/cloud/client.ts";
import { inGuest } from "../../sandbox/cloud/shell.ts";
import { root } from "../../sandbox/paths.ts";
import { type CommandResult, Stack } from "../../sandbox/stack.ts";
import type { ConfigValue } from "../../sandbox/stack-config.ts";
import { type Delivery, sendFromOutside } from "../../sandbox/world/outside.ts";

const outputs = z.looseObject({
  mailDomain: z.string(),
  serverHostname: z.string(),
  ipv4: z.string(),
  ipv6: z.string(),
  ca: z.string(),
  zoneFile: z.string(),
  sshCommand: z.string(),
  sshHostKey: z.string(),
  sshPrivateKey: z.string(),
  testUser: z.object({ address: z.string(), password: z.string() }),
  /** Empty where there are no onion services. */
  onion: z.record(z.string(), z.string()),
  onionCa: z.string().nullish(),
});
export type Outputs = z.infer<typeof outputs>;

/** A mail server that system tests share: a stack of its own in the one sandbox that all test files use. */
export class TestServer {
  readonly stack: Stack;
  outputs: Outputs;

  private constructor(stack: Stack, values: Outputs) {
    this.stack = stack;
    this.outputs = values;
  }

  /** Brings it up, or up to date where an earlier test file did; `config` differs from the dev stack's. */
  static async up(
    name: string,
    config: Record<string, ConfigValue> = {},
    secrets: Record<string, string> = {},
  ): Promise<TestServer> {
    const stack = await openStack(name, config);
    for (const [key, value] of Object.entries(secrets))
      await stack.set(key, value, { secret: true });
    await stack.up({ onOutput: showStep });
    return new TestServer(stack, await readOutputs(stack));
  }

  async up(): Promise<CommandResult> {
    const result = await this.stack.up();
    this.outputs = await readOutputs(this.stack);
    return result;
  }

  /** The number of its droplet, which is its guest's. */
  guest(): Promise<number> {
    return guestOf(this.stack);
  }

  /** Resources of a type, as the state has them. */
  resources(type: string) {
    return resourcesOf(this.stack, type);
  }

  /** Runs a shell command on it as root, past SSH; its output. */
  async run(command: string, input?: string): Promise<string> {
    const argv = ["/bin/sh", "-c", command];
    return inGuest(await this.guest(), argv, input === undefined ? {} : { input });
  }

  /** A mail from a foreign server, by the domain's MX record. */
  async deliver(mail: {
    subject: string;
    text?: string;
    to?: string;
    from?: string;
    /** Of the domain's MX, where that is another server. */
    ca?: string;
  }): Promise<Delivery> {
    const cloud = await endpoint();
    if (!cloud) throw new Error("the cloud doesn't run");
    return sendFromOutside({
      from: "bert@outside.example",
      to: this.outputs.testUser.address,
      text: "hello",
      helo: "mail.outside.example",
      resolver: cloud.resolverAddress,
      ca: this.outputs.ca,
      ...mail,
    });
  }

  /** How to read its test user's mail. */
  mailbox() {
    const { serverHostname, ipv4, ca, testUser } = this.outputs;
    const { address: user, password } = testUser;
    return { host: serverHostname, address: ipv4, port: 993, user, password, ca };
  }
}

/** The number of a stack's droplet. */
export async function guestOf(stack: Stack): Promise<number> {
  const id = (await resourcesOf(stack, "digitalocean:index/droplet:Droplet"))[0]?.id;
  if (!id) throw new Error(`${stack.name} has no droplet`);
  return Number(id);
}

async function resourcesOf(stack: Stack, type: string) {
  const { deployment } = await stack.export();
  return (deployment.resources ?? []).filter((resource) => resource.type === type);
}

/** A stack as the dev stack is, for another domain. */
export async function openStack(
  name: string,
  config: Record<string, ConfigValue> = {},
): Promise<Stack> {
  const domain = `${name}.example`;
  const stack = await Stack.open(`test-${name}`, {
    configFrom: join(root, "Pulumi.dev.yaml"),
    config: { mailDomain: domain, adminEmail: `test@${domain}`, ...config },
  });
  await stack.clearStaleLock();
  return stack;
}

async function readOutputs(stack: Stack): Promise<Outputs> {
  return outputs.parse(await stack.outputs({ secrets: true }));
}

/** Long work shows that it goes on. */
function showStep(line: string): void {
  if (/creat|updat|replac|delet/.test(line)) process.stderr.write(`  ${line.trim()}\n`);
}

/** What an `up` did, from its summary: how many resources of each kind of step. */
export function steps(output: string): Record<string, number> {
  const found = [
    ...output.matchAll(/^\s+[+~\-± ]*(\d+) (created|updated|replaced|deleted|unchanged)/gm),
  ];
  return Object.fromEntries(found.map(([, count, kind]) => [kind, Number(count)]));
}

/** The names of resources that an `up` touched, with what it did: "~ mail-host-postfix updated". */
export function touched(output: string): string[] {
  const lines = output.matchAll(/^ *[~+-]+\s+\S+ (\S+) (updated|created|replaced|deleted)/gm);
  return [...new Set([...lines].map(([, name]) => name ?? ""))].sort();
}
