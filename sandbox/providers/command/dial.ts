import { connect, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import ssh2, { type Client } from "ssh2";
import { type Credentials, credentialsOf } from "./credentials.ts";
import { dialError, endpoint, errorCode, systemError } from "./go-text.ts";
import type { Connection, Server } from "./inputs.ts";
import { withRetry } from "./retry.ts";

export interface DialOptions {
  signal: AbortSignal;
  /** Shows that a dial failed and another follows. */
  status: (message: string) => void;
}

/**
 * Connects to a server, by its proxy if it has one. Every failure is retried, also one that time
 * doesn't heal, such as a wrong host key. The client is never closed, as in the real plugin: it
 * ends with the process.
 * @throws Error in the real plugin's words; no part of a key or password is in it.
 */
export async function dial(connection: Connection, options: DialOptions): Promise<Client> {
  const credentials = await credentialsOf(connection);
  const limit = connection.dialErrorLimit;
  if (connection.proxy === undefined) {
    return withRetry({ ...options, what: "Dial", limit }, async () =>
      handshake(await openSocket(connection), credentials),
    );
  }
  return named("proxy", () => dialByProxy(connection, connection.proxy, credentials, options));
}

async function dialByProxy(
  connection: Connection,
  proxy: Server | undefined,
  credentials: Credentials,
  options: DialOptions,
): Promise<Client> {
  if (proxy === undefined) throw new Error("no proxy");
  const proxyCredentials = await credentialsOf(proxy);
  const bastion = await withRetry(
    { ...options, what: "Dial proxy", limit: proxy.dialErrorLimit },
    async () => handshake(await openSocket(proxy), proxyCredentials),
  );
  const limit = connection.dialErrorLimit;
  const tunnel = () =>
    withRetry({ ...options, what: "Dial from proxy", limit }, () => forward(bastion, connection));
  return withRetry({ ...options, what: "Dial", limit }, async () =>
    handshake(await tunnel(), credentials),
  );
}

async function named<Result>(name: string, work: () => Promise<Result>): Promise<Result> {
  try {
    return await work();
  } catch (error) {
    throw new Error(`${name}: ${error instanceof Error ? error.message : String(error)}`);
  }
}

/** Noticing a dead peer takes as long as in Go: probes after 15 s of silence. */
const keepAliveMilliseconds = 15_000;

function openSocket({ host, port, perDialTimeout }: Server): Promise<Socket> {
  const whole = Math.trunc(port);
  return new Promise((resolve, reject) => {
    const socket = connect({
      host,
      port: whole,
      noDelay: true,
      keepAlive: true,
      keepAliveInitialDelay: keepAliveMilliseconds,
    });
    const timer =
      perDialTimeout > 0
        ? setTimeout(() => {
            socket.destroy();
            reject(new Error(`dial tcp ${endpoint(host, whole)}: i/o timeout`));
          }, perDialTimeout * 1000)
        : undefined;
    socket.once("error", (error) => {
      clearTimeout(timer);
      reject(dialError(error, host, whole));
    });
    socket.once("connect", () => {
      clearTimeout(timer);
      resolve(socket);
    });
  });
}

function forward(bastion: Client, { host, port }: Server): Promise<Duplex> {
  return new Promise((resolve, reject) => {
    bastion.forwardOut("127.0.0.1", 0, host, Math.trunc(port), (error, channel) =>
      error === undefined ? resolve(channel) : reject(new Error(`ssh: rejected: ${error.message}`)),
    );
  });
}

function handshake(sock: Duplex, credentials: Credentials): Promise<Client> {
  return new Promise((resolve, reject) => {
    const client = new ssh2.Client();
    const fail = (error: Error) => {
      sock.destroy();
      reject(new Error(`ssh: handshake failed: ${handshakeError(error, credentials)}`));
    };
    // Stays for the life of the client: what comes later is seen by the session as its end.
    client.on("error", fail);
    client.once("close", () => fail(new Error("EOF")));
    client.once("ready", () => resolve(client));
    try {
      client.connect({ ...credentials.config, sock });
    } catch (error) {
      fail(error instanceof Error ? error : new Error(String(error)));
    }
  });
}

function handshakeError(error: Error, { seen, hostKeyType }: Credentials): string {
  if (seen.hostKeyMismatch) return "ssh: host key mismatch";
  const level = "level" in error ? error.level : undefined;
  if (level === "client-authentication") {
    const methods = seen.methods.join(" ");
    return `ssh: unable to authenticate, attempted methods [${methods}], no supported methods remain`;
  }
  if (/no matching host key format/.test(error.message)) {
    return `ssh: no common algorithm for host key; we offered: [${hostKeyType ?? "all"}]`;
  }
  if (/^Connection lost before handshake/.test(error.message)) return "EOF";
  return errorCode(error) === undefined ? error.message : systemError(error);
}
