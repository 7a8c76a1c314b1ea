import { once } from "node:events";
import { constants } from "node:os";
import type { Duplex, Readable, Writable } from "node:stream";
import ssh2, {
  type AnyAuthMethod,
  type ClientChannel,
  type ConnectConfig,
  type PseudoTtyOptions,
} from "ssh2";
import { z } from "zod";
import { endpoint, systemError } from "../sandbox/providers/command/go-text.ts";
import { parseHostKey } from "../sandbox/providers/command/host-key.ts";
import { parsePrivateKey } from "../sandbox/providers/command/private-key.ts";
import { isOnionAddress } from "../settings/onion-address.ts";
import type { Access } from "./access.ts";
import { commandLine } from "./quote.ts";
import { connectByTor, TorError } from "./tor-proxy.ts";

/** The server can't be reached, or was lost; the message says where, why, and what to do. */
export class ConnectionError extends Error {
  /** Whether a later try may succeed, as with a machine that boots. */
  readonly mayPass: boolean;

  constructor(message: string, options: { mayPass?: boolean } = {}) {
    super(message);
    this.mayPass = options.mayPass ?? false;
  }
}

/** Where a program on the server reads and writes. */
export interface Streams {
  /** Nothing if left out. A secret may be given as text. */
  stdin?: Readable | string;
  stdout: Writable;
  stderr: Writable;
}

/** Those that the setting sshHostKey takes. */
const hostKeyType = z.literal([
  "ssh-ed25519",
  "ecdsa-sha2-nistp256",
  "ecdsa-sha2-nistp384",
  "ecdsa-sha2-nistp521",
]);
const handshakeSeconds = 20;
/** A server that is gone is noticed after so many unanswered questions, one each ten seconds. */
const keepalive = { keepaliveInterval: 10_000, keepaliveCountMax: 3 };

/**
 * Logs in to a server. It has to show exactly the pinned host key; until it has, nothing is sent to it.
 *
 * @param options.sock A ready connection to its SSH port, instead of one by TCP to its address.
 * @throws ConnectionError
 */
export async function connect(access: Access, options: { sock?: Duplex } = {}): Promise<Server> {
  const { address: host, port, user, hostKey: pinned } = access;
  const hostKey = parseHostKey(pinned);
  const key = parsePrivateKey(access.privateKey, undefined);
  const methods: AnyAuthMethod[] = [{ type: "publickey", username: user, key }];
  let mismatch = false;
  const sock = options.sock ?? (isOnionAddress(host) ? await byTor(access) : undefined);
  const config: ConnectConfig = {
    ...(sock ? { sock } : { host, port }),
    ...keepalive,
    username: user,
    readyTimeout: handshakeSeconds * 1000,
    authHandler: () => methods.shift() ?? false,
    algorithms: { serverHostKey: [hostKeyType.parse(hostKey.type)] },
    hostVerifier: (shown: Buffer) => {
      mismatch = !shown.equals(hostKey.blob);
      return !mismatch;
    },
  };
  const client = new ssh2.Client();
  try {
    client.connect(config);
    const ready = once(client, "ready");
    client.on("error", () => {}); // a second one, and later the end of its channels, tell nothing more
    // A server that goes down may hang up between handshake and login without an error.
    await Promise.race([ready, once(client, "close").then(hungUp)]);
  } catch (error) {
    client.destroy();
    const problem = error instanceof Error ? error : new Error(String(error));
    const mayPass = !mismatch && !isRefusal(problem);
    throw new ConnectionError(whyNot(access, problem, mismatch), { mayPass });
  }
  return new Server(client, access);
}

async function byTor({ address: host, port }: Access): Promise<Duplex> {
  try {
    return await connectByTor({ host, port });
  } catch (error) {
    if (!(error instanceof TorError)) throw error;
    throw new ConnectionError(error.message, { mayPass: true });
  }
}

/** As ssh ends where the connection is what failed. */
const connectionFailed = 255;

/** Does something on a server, for a person or a script; the exit code. What fails of the connection is said on stderr. */
export async function onServer(
  connected: () => Promise<Server>,
  work: (server: Server) => Promise<number>,
): Promise<number> {
  try {
    const server = await connected();
    try {
      return await work(server);
    } finally {
      server.close();
    }
  } catch (error) {
    if (!(error instanceof ConnectionError)) throw error;
    console.error(error.message);
    return connectionFailed;
  }
}

/** A program that runs on a server. */
export interface Program {
  readonly channel: ClientChannel;
  /**
   * Its exit code, 128 + number where a signal ended it, once all that it writes is read.
   *
   * @throws ConnectionError where the connection is lost before it has ended.
   */
  readonly exitCode: Promise<number>;
}

/** A connection to a server, on which programs run as root. It has to be closed. */
export class Server {
  readonly #client: ssh2.Client;
  readonly #access: Access;

  /** See {@link connect}. */
  constructor(client: ssh2.Client, access: Access) {
    this.#client = client;
    this.#access = access;
  }

  /**
   * Runs a program, without a terminal; returns its exit code, 128 + number where a signal ended it.
   *
   * @param argv As the program gets it, whatever is in it. Others on the server can see it: a secret goes by stdin.
   * @throws ConnectionError where it can't be started, or the connection is lost before it has ended.
   */
  async run(argv: string[], { stdin = "", stdout, stderr }: Streams): Promise<number> {
    const { channel, exitCode } = await this.open(argv);
    channel.pipe(stdout, { end: false });
    channel.stderr.pipe(stderr, { end: false });
    if (typeof stdin === "string") channel.end(stdin);
    else stdin.pipe(channel);
    try {
      return await exitCode;
    } finally {
      if (typeof stdin !== "string") stdin.unpipe(channel).pause();
    }
  }

  /** Starts a program, for who deals with its streams himself; with `pty` it has a terminal. */
  open(argv: string[], options: { pty?: PseudoTtyOptions } = {}): Promise<Program> {
    const sudo = this.#access.user === "root" ? [] : ["sudo", "-n", "--"];
    return new Promise((resolve, reject) => {
      this.#client.exec(commandLine([...sudo, ...argv]), options, (error, channel) => {
        if (error)
          return reject(new ConnectionError(`${whereOf(this.#access)}: ${error.message}.`));
        channel.on("error", () => {}); // it may end without reading: its exit code tells
        // Listened for at once: start and end of a short program may come in one piece.
        const exitCode = this.#exitCode(channel);
        exitCode.catch(() => {}); // who waits for it hears of it
        resolve({ channel, exitCode });
      });
    });
  }

  async #exitCode(channel: ClientChannel): Promise<number> {
    let exit: number | undefined;
    channel.on("exit", (code: number | null, signal?: string) => {
      exit = code ?? 128 + signalNumber(signal);
    });
    await Promise.all([once(channel, "close"), once(channel.stderr, "close")]);
    if (exit !== undefined) return exit;
    throw new ConnectionError(
      `The connection to ${whereOf(this.#access)} was lost before the command had ended. Look what it has done before you repeat it.`,
    );
  }

  close(): void {
    this.#client.end();
  }
}

/** From "SIGTERM", or "TERM" as the protocol has it. */
function signalNumber(name = ""): number {
  const numbers: Record<string, number> = constants.signals;
  return numbers[`SIG${name.replace(/^SIG/, "")}`] ?? 0;
}

const whereOf = ({ user, address, port }: Access) => `${user}@${endpoint(address, port)}`;

function hungUp(): never {
  throw new Error("it hung up");
}

const isRefusal = (error: Error) => "level" in error && error.level === "client-authentication";

/** Why there is no connection, and what to do, in words. */
function whyNot(access: Access, error: Error, mismatch: boolean): string {
  const where = whereOf(access);
  if (mismatch || /no matching host key format/.test(error.message))
    return `The machine at ${where} shows another SSH host key than the stack has pinned: it is another machine, or somebody sits in between. Nothing was sent to it.`;
  if (isRefusal(error))
    return `The server at ${where} doesn't take the stack's SSH key. Is the key still in its authorized_keys?`;
  if ("level" in error && error.level === "client-timeout")
    return `No answer from ${where} for ${handshakeSeconds} seconds. Is the machine on, and does a firewall keep you out?`;
  return `No SSH connection to ${where}: ${systemError(error)}. Is the machine on? If it was replaced, \`pulumi up\` learns its new address.`;
}
