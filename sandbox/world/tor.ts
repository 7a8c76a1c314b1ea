import { readFile } from "node:fs/promises";
import { connect, createServer } from "node:net";
import { join } from "node:path";
import { z } from "zod";
import { endpoint } from "../cloud/client.ts";
import { guestNamespace, planFor } from "../cloud/network.ts";
import { listenInNamespace } from "../cloud/relay-listener.ts";
import { inGuest } from "../cloud/shell.ts";
import { State } from "../cloud/state.ts";
import { withLock } from "../lock.ts";
import { paths } from "../paths.ts";
import { findMachine, makeMachine, type SandboxMachine } from "./machine.ts";

const name = "tor";
const description = z.object({
  torrcExtra: z.string(),
  bridges: z.object({ vanilla: z.string(), obfs4: z.string() }),
});
type Description = z.output<typeof description>;

/**
 * The private Tor network, on a guest of its own that all tests share: started where it isn't there. Its exit reaches
 * what guests reach: each other, the sandbox's DNS and Debian's mirror.
 */
export async function startTor(): Promise<TorNetwork> {
  const lock = join(paths.cloud, "tor.lock");
  return withLock(
    lock,
    () => {},
    async () => {
      const machine = (await findMachine(name)) ?? (await makeMachine(name, {}));
      const script = await readFile(join(import.meta.dirname, "tor", "network.sh"), "utf8");
      const options = { input: script };
      const said = await inGuest(machine.id, ["/bin/sh", "-s", machine.ipv4], options);
      return new TorNetwork(machine, description.parse(JSON.parse(said)));
    },
  );
}

/** A Tor network with a client for tests. */
export class TorNetwork {
  readonly machine: SandboxMachine;
  /** Lines of a torrc by which a guest joins; the setting torrcExtra. */
  readonly torrcExtra: string;
  /** As after "Bridge " in a torrc; the setting torBridges. */
  readonly bridges: Description["bridges"];
  /** The client's SOCKS port. */
  readonly socks: { host: string; port: number };

  constructor(machine: SandboxMachine, { torrcExtra, bridges }: Description) {
    this.machine = machine;
    this.torrcExtra = torrcExtra;
    this.bridges = bridges;
    this.socks = { host: machine.ipv4, port: 9050 };
  }

  /** Runs a shell command on the network's guest. */
  run(command: string, input?: string): Promise<string> {
    const argv = ["/bin/sh", "-c", command];
    return inGuest(this.machine.id, argv, input === undefined ? {} : { input });
  }

  /** Gives the client a private key for an onion service (rend-spec-v3, client authorization); base32. */
  async authorize(onion: string, secret: string): Promise<void> {
    const file = `${onionAuth}/${onion}.auth_private`;
    const line = `${onion.replace(/\.onion$/, "")}:descriptor:x25519:${secret.toUpperCase()}\n`;
    await this.run(`umask 077 && cat >${file}`, line);
    await this.newCircuits(); // a client that runs keeps the descriptor that it could read before
  }

  /** Takes the client's private key for an onion service away. */
  async forget(onion: string): Promise<void> {
    await this.run(`rm -f ${onionAuth}/${onion}.auth_private`);
    await this.newCircuits(); // a client that runs keeps the descriptor that it could read before
  }

  /** The client begins anew: it remembers no circuit and no descriptor. */
  async newCircuits(): Promise<void> {
    await this.run("systemctl restart tor-node@client");
    await this.run(
      'for i in $(seq 300); do journalctl -u tor-node@client -o cat _SYSTEMD_INVOCATION_ID=$(systemctl show -P InvocationID tor-node@client) | grep -q "Bootstrapped 100%" && exit 0; sleep 0.1; done; exit 1',
    );
  }

  /**
   * The cloud's API as it is reached by the exit: at an address of the network's own guest, until it is disposed of.
   * `from` has the addresses that it was asked from.
   */
  async api(): Promise<{ url: string; from: Set<string> } & AsyncDisposable> {
    const cloud = await endpoint();
    const sandbox = await new State(paths.cloud).sandbox();
    if (!cloud || !sandbox) throw new Error("the cloud doesn't run");
    const { hostname, port } = new URL(cloud.url);
    const from = new Set<string>();
    const relay = createServer((client) => {
      from.add(client.remoteAddress ?? "");
      const upstream = connect(Number(port), hostname);
      for (const socket of [client, upstream]) socket.on("error", () => client.destroy());
      client.pipe(upstream).pipe(client);
    });
    const namespace = guestNamespace(planFor(paths.cloud, sandbox.number), this.machine.id);
    await listenInNamespace(relay, namespace, this.machine.ipv4, apiPort);
    const url = `http://${this.machine.ipv4}:${apiPort}`;
    return { url, from, [Symbol.asyncDispose]: async () => void relay.close() };
  }
}

const apiPort = 8080;
const onionAuth = "/srv/tor/client/onion-auth";
