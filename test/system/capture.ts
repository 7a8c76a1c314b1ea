import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { z } from "zod";
import { inNamespace, linkOf, namespaceFile, planFor } from "../../sandbox/cloud/network.ts";
import { State } from "../../sandbox/cloud/state.ts";
import { paths } from "../../sandbox/paths.ts";

/** Of each kind of packet, as "tcp 192.0.2.1 443": how many there were, and when, in seconds since 1970. */
export type Sent = Record<string, { count: number; first: number; last: number }>;

const sent = z.record(
  z.string(),
  z.object({ count: z.number(), first: z.number(), last: z.number().default(0) }),
);

/** A packet capture on the links of guests that don't exist yet. */
export class Capture implements AsyncDisposable {
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #output: Promise<string>;

  private constructor(child: ChildProcessWithoutNullStreams) {
    this.#child = child;
    child.stderr.pipe(process.stderr);
    this.#output = text(child.stdout);
  }

  /** Packets are caught from the moment that it returns; `guests` are watched although they are there already. */
  static async start(guests: number[] = []): Promise<Capture> {
    const { namespace } = await plan();
    const watched = guests.map(linkOf);
    const known = (await linksIn(namespace)).filter((link) => !watched.includes(link));
    const script = await readFile(join(import.meta.dirname, "guest", "capture.py"), "utf8");
    const argv = [`--net=${namespaceFile(namespace)}`, "python3", "-u", "-c", script, ...known];
    const child = spawn("nsenter", argv);
    await once(child.stdout, "readable");
    return new Capture(child);
  }

  /** Ends it: what this guest has sent. */
  async end(guest: number): Promise<Sent> {
    this.#child.stdin.end();
    const [, json = ""] = (await this.#output).split("ready\n");
    return z.record(z.string(), sent).parse(JSON.parse(json))[linkOf(guest)] ?? {};
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.stdin.end();
    await this.#output;
  }
}

async function plan() {
  const sandbox = await new State(paths.cloud).sandbox();
  if (!sandbox) throw new Error("the cloud doesn't run");
  return planFor(paths.cloud, sandbox.number);
}

const links = z.array(z.object({ ifname: z.string() }));

async function linksIn(namespace: string): Promise<string[]> {
  const found = await inNamespace(namespace, ["ip", "-j", "link", "show"]);
  return links.parse(JSON.parse(found)).map(({ ifname }) => ifname);
}
