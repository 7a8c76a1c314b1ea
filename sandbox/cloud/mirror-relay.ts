import { randomBytes } from "node:crypto";
import { createReadStream, createWriteStream } from "node:fs";
import { mkdir, rename, rm, stat } from "node:fs/promises";
import {
  createServer,
  type IncomingMessage,
  Agent as PlainAgent,
  get as plainGet,
  type Server,
  type ServerResponse,
} from "node:http";
import { get as secureGet, Agent as TlsAgent } from "node:https";
import { dirname, join } from "node:path";
import { PassThrough } from "node:stream";
import { pipeline } from "node:stream/promises";
import { getCACertificates } from "node:tls";
import { ifExists } from "../files.ts";
import { type AptSettings, aptSettings } from "./apt-settings.ts";

/** The names that the sandbox's resolver answers with the relay's address. */
export const mirrorNames = ["deb.debian.org", "security.debian.org"];

const forwarded = ["if-modified-since", "if-none-match", "range", "if-range", "cache-control"];
const returned = [
  "content-length",
  "content-type",
  "content-range",
  "last-modified",
  "etag",
  "accept-ranges",
];

/**
 * Debian's mirror for guests that have no way out: a server for plain HTTP that fetches from the mirror of
 * this machine's own apt and keeps packages. It also takes requests as a proxy gets them, which is how the
 * image is built through it. apt checks signatures and hashes itself, so nothing here has to be trusted.
 */
export class MirrorRelay {
  readonly server: Server;
  readonly #settings: AptSettings;
  readonly #debs: string;
  readonly #plain: PlainAgent;
  readonly #tls: TlsAgent;

  /** @param debs The folder that keeps packages. */
  static async create(debs: string): Promise<MirrorRelay> {
    return new MirrorRelay(debs, await aptSettings());
  }

  constructor(debs: string, settings: AptSettings) {
    this.#debs = debs;
    this.#settings = settings;
    const options = { keepAlive: true, timeout: 60_000, proxyEnv: settings.proxy };
    this.#plain = new PlainAgent(options);
    const ca = [...getCACertificates("default"), ...getCACertificates("system")];
    this.#tls = new TlsAgent({ ...options, ca });
    this.server = createServer((request, response) => {
      this.#answer(request, response).catch((error: unknown) => refuse(response, error));
    });
  }

  async close(): Promise<void> {
    this.server.closeAllConnections();
    await new Promise<void>((resolve) => this.server.close(() => resolve()));
    this.#plain.destroy();
    this.#tls.destroy();
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = archivePath(request.url ?? "");
    if (!path || !["GET", "HEAD"].includes(request.method ?? "")) {
      response.writeHead(404, { "content-type": "text/plain" });
      response.end("The sandbox relays Debian's archive and nothing else.\n");
      return;
    }
    const kept = /\/pool\/.*\.deb$/.test(path) ? join(this.#debs, path) : undefined;
    if (kept && (await sendKept(kept, request, response))) return;
    await this.#fetch(path, kept, request, response);
  }

  async #fetch(
    path: string,
    keepAs: string | undefined,
    request: IncomingMessage,
    response: ServerResponse,
  ): Promise<void> {
    const upstream = await this.#open(path, keepAs ? {} : pick(request.headers, forwarded));
    response.writeHead(upstream.statusCode ?? 502, pick(upstream.headers, returned));
    if (request.method === "HEAD") {
      upstream.destroy();
      response.end();
    } else if (keepAs && upstream.statusCode === 200) {
      await keep(upstream, keepAs, response);
    } else {
      await pipeline(upstream, response);
    }
  }

  /** Follows up to five redirections, as apt does. */
  async #open(
    path: string,
    headers: Record<string, string>,
    address = this.#address(path),
    redirections = 5,
  ): Promise<IncomingMessage> {
    const url = new URL(address);
    const answer = await new Promise<IncomingMessage>((resolve, reject) => {
      const [get, agent] =
        url.protocol === "https:" ? [secureGet, this.#tls] : [plainGet, this.#plain];
      const sent = get(url, { agent, headers }, resolve);
      sent.on("timeout", () => sent.destroy(new Error("no answer in 60 s")));
      sent.on("error", (error) => reject(new Error(`${url.origin}: ${error.message}`)));
    });
    const location = answer.headers.location;
    if (!location || (answer.statusCode ?? 0) < 300 || redirections === 0) return answer;
    answer.resume();
    return this.#open(path, headers, new URL(location, url).href, redirections - 1);
  }

  #address(path: string): string {
    return path.startsWith("/debian-security/")
      ? this.#settings.security + path.slice("/debian-security".length)
      : this.#settings.debian + path.slice("/debian".length);
  }
}

/**
 * The path in the archive that a request is about, whichever way it is asked, with hidden steps upwards
 * resolved; undefined where it isn't in the archive.
 */
export function archivePath(target: string): string | undefined {
  const url = URL.parse(target, "http://deb.debian.org");
  if (!url || !mirrorNames.includes(url.hostname)) return undefined;
  if (url.protocol !== "http:" || /%2f|%2e/i.test(url.pathname)) return undefined;
  return /^\/debian(-security)?\//.test(url.pathname) ? url.pathname : undefined;
}

async function sendKept(
  file: string,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<boolean> {
  const found = await ifExists(stat(file));
  if (!found) return false;
  response.writeHead(200, {
    "content-length": found.size,
    "content-type": "application/vnd.debian.binary-package",
    "last-modified": found.mtime.toUTCString(),
  });
  if (request.method === "HEAD") response.end();
  else await pipeline(createReadStream(file), response);
  return true;
}

/** Sends a package on while it is written beside its place; it gets its name when it is whole. */
async function keep(
  upstream: IncomingMessage,
  file: string,
  response: ServerResponse,
): Promise<void> {
  await mkdir(dirname(file), { recursive: true });
  const beside = `${file}.${randomBytes(6).toString("hex")}`;
  const toGuest = new PassThrough();
  const sent = pipeline(toGuest, response).catch(() => {}); // a guest that goes away stops no download
  upstream.on("data", (chunk: Buffer) => {
    if (toGuest.writable) toGuest.write(chunk);
  });
  try {
    await pipeline(upstream, createWriteStream(beside));
    toGuest.end();
    await rename(beside, file);
  } catch (error) {
    await rm(beside, { force: true });
    toGuest.destroy();
    response.destroy();
    throw error;
  }
  await sent;
}

function pick(headers: IncomingMessage["headers"], names: string[]): Record<string, string> {
  const picked: Record<string, string> = {};
  for (const name of names) {
    const value = headers[name];
    if (typeof value === "string") picked[name] = value;
  }
  return picked;
}

function refuse(response: ServerResponse, error: unknown): void {
  if (response.headersSent) {
    response.destroy();
    return;
  }
  const why = error instanceof Error ? error.message : String(error);
  response.writeHead(502, { "content-type": "text/plain" });
  response.end(`The mirror of this machine's apt can't be reached: ${why}\n`);
}
