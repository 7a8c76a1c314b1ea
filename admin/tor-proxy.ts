import type { Socket } from "node:net";
import { SocksClient } from "socks";

/** Where Tor's SOCKS port is. */
export interface TorProxy {
  host: string;
  port: number;
}

/** A connection through Tor that doesn't come about; the message says why and what to do. */
export class TorError extends Error {}

/** Where a Tor on this machine listens, unless it is told otherwise. */
const usual = { host: "127.0.0.1", port: 9050 };

/**
 * The Tor by which an administrator's machine reaches onion services: the SOCKS proxy of ALL_PROXY or HTTPS_PROXY, in
 * upper or lower case as curl takes them, else the one on this machine.
 *
 * @throws TorError where the variable names something else.
 */
export function torProxy(env: NodeJS.ProcessEnv = process.env): TorProxy {
  const names = ["ALL_PROXY", "all_proxy", "HTTPS_PROXY", "https_proxy"];
  const name = names.find((each) => /^socks/i.test(env[each] ?? ""));
  if (name === undefined) return usual;
  const url = env[name] ?? "";
  const [, host, port = "1080"] =
    /^socks5h?:\/\/(?:[^@/]*@)?(\[[0-9a-f:]+\]|[\w.-]+)(?::(\d{1,5}))?\/?$/i.exec(url) ?? [];
  if (host === undefined)
    throw new TorError(`${name} must be socks5h://HOST:PORT, where your Tor listens.`);
  return { host: host.replace(/^\[|\]$/g, ""), port: Number(port) };
}

/** SOCKS's own answers (RFC 1928) and Tor's (ExtendedErrors in torrc(5)), by what the library says of them. */
function whyNot(message: string, target: string, proxy: TorProxy): string {
  const tor = `the Tor at ${proxy.host} port ${proxy.port}`;
  if (/ECONNREFUSED|ENOTFOUND|EHOSTUNREACH|ENETUNREACH|ETIMEDOUT/.test(message))
    return `${target} is reached by Tor, and ${tor} doesn't answer. Start Tor, or set ALL_PROXY=socks5h://HOST:PORT to where it listens (Tor Browser's is 127.0.0.1:9150).`;
  const hint =
    "Is the server on, and is the name right? After a new start of the server its onion service is found within a few minutes. Where it takes known clients only, your Tor needs the key (docs/tor.md).";
  return `${tor} can't reach ${target} (${message}). ${hint}`;
}

/**
 * A connection through Tor, which also looks the name up.
 *
 * @param options.timeout Milliseconds, for the whole way.
 * @throws TorError
 */
export async function connectByTor(
  target: { host: string; port: number },
  options: { proxy?: TorProxy; timeout?: number } = {},
): Promise<Socket> {
  const proxy = options.proxy ?? torProxy();
  try {
    const { socket } = await SocksClient.createConnection({
      proxy: { ...proxy, type: 5 },
      command: "connect",
      destination: target,
      timeout: options.timeout ?? 60_000,
    });
    return socket;
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    throw new TorError(whyNot(message, `${target.host} port ${target.port}`, proxy));
  }
}
