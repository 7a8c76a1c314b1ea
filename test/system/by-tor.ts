import assert from "node:assert/strict";
import type { Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { connectByTor } from "../../admin/tor-proxy.ts";
import type { ConfigValue } from "../../sandbox/stack-config.ts";
import { startTor, type TorNetwork } from "../../sandbox/world/tor.ts";
import type { ServiceName } from "../../settings/tor.ts";
import { Dialogue, plainLogin } from "./dialogue.ts";
import { TestServer } from "./server.ts";
import { submit } from "./submit.ts";

/** What a stack needs to be in the sandbox's Tor network; a debug stack has no Tor unless it is asked for. */
export const inNetwork = (tor: TorNetwork): Record<string, ConfigValue> => ({
  useTor: true,
  torMirror: "sources",
  torrcExtra: tor.torrcExtra,
});

/** What a stack needs to be a hidden server there. */
export const hiddenIn = (tor: TorNetwork): Record<string, ConfigValue> => ({
  ...inNetwork(tor),
  profile: "activist",
  // This machine's kernel may have no LUKS; test/vm has the encrypted volume.
  encryptVolume: false,
  dns: "manual",
});

/** Joins the Tor network: from now on `pulumi` and what else runs here reaches onion names by its client. */
export async function joinTor(): Promise<TorNetwork> {
  const tor = await startTor();
  process.env.ALL_PROXY = `socks5h://${tor.socks.host}:${tor.socks.port}`;
  return tor;
}

/** A server with Tor beside the clear, which the tests of Tor share. */
export function upTor(tor: TorNetwork, config: Record<string, ConfigValue> = {}) {
  return TestServer.up("tor", { ...inNetwork(tor), ...config });
}

/** A client's way by Tor to a server's onion services. */
export class OnionClient {
  readonly #tor: TorNetwork;
  readonly #server: TestServer;

  constructor(tor: TorNetwork, server: TestServer) {
    this.#tor = tor;
    this.#server = server;
  }

  /** Hands in a mail of the test user to himself by submission; its subject. */
  async writeMail(): Promise<string> {
    const user = this.#server.outputs.testUser;
    const smtp = await this.wrapped(465);
    await smtp.smtp();
    const subject = await submit(smtp, user, user.address);
    smtp.close();
    return subject;
  }

  /** Waits for a mail of this subject in the test user's inbox. */
  async readMail(subject: string): Promise<void> {
    const imap = await this.wrapped(993);
    await imap.line();
    const login = plainLogin(this.#server.outputs.testUser);
    assert.match(await imap.imap("a", `AUTHENTICATE PLAIN ${login}`), /^a OK/m);
    await imap.imap("b", "SELECT INBOX");
    for (const deadline = Date.now() + 30_000; ; await sleep(200)) {
      const found = await imap.imap("s", `SEARCH SUBJECT ${subject}`);
      if (/\* SEARCH \d+/.test(found)) return imap.close();
      assert.ok(Date.now() < deadline, "the mail didn't come");
    }
  }

  /** A connection to a port of an onion service, which may have just begun and not be found at once. */
  async connect(service: ServiceName, port: number): Promise<Socket> {
    for (const deadline = Date.now() + 60_000; ; await sleep(500)) {
      try {
        return await this.tryToConnect(service, port);
      } catch (error) {
        if (Date.now() > deadline) throw error;
      }
    }
  }

  tryToConnect(service: ServiceName, port: number): Promise<Socket> {
    const target = { host: this.name(service), port };
    return connectByTor(target, { proxy: this.#tor.socks, timeout: 30_000 });
  }

  /** Waits until a service is found that has started anew; a client that begins anew, too, finds it sooner. */
  async untilFound(service: ServiceName, port: number): Promise<void> {
    await this.#tor.newCircuits();
    (await this.connect(service, port)).destroy();
  }

  name(service: ServiceName): string {
    const name = this.#server.outputs.onion[service];
    if (name === undefined) throw new Error(`there is no onion service ${service}`);
    return name;
  }

  /** A conversation over TLS from the start, the certificate checked as a user's program does. */
  async wrapped(port: 465 | 993): Promise<Dialogue> {
    const dialogue = await Dialogue.open({
      ...(await this.#options("users", port)),
      wrapped: true,
    });
    return dialogue;
  }

  /** One in the clear at first, as on 587 and 4190. */
  async open(port: 587 | 4190): Promise<Dialogue> {
    return Dialogue.open(await this.#options("users", port));
  }

  /** One with SMTP for other servers, after STARTTLS. Its name is proof enough: nobody vouches for its certificate. */
  async smtp(): Promise<Dialogue> {
    return Dialogue.smtpOverTls({ ...(await this.#options("smtp", 25)), ca: null });
  }

  async #options(service: ServiceName, port: number) {
    const host = this.name(service);
    const socket = await this.connect(service, port);
    return { host, port, servername: host, ca: this.#server.outputs.onionCa ?? "", socket };
  }
}
