import { type IncomingMessage, request as plainRequest } from "node:http";
import { isIP, type Socket } from "node:net";
import { text } from "node:stream/consumers";
import { connect as connectTls } from "node:tls";
import { SocksClient } from "socks";

export interface SocksProxy {
  host: string;
  port: number;
}

/**
 * The SOCKS proxy for a URL as the real provider finds it (Go's net/http, ProxyFromEnvironment): by HTTPS_PROXY or
 * HTTP_PROXY after the URL's scheme, in either case of letters; never for this machine's own addresses.
 */
export function socksProxyFor(
  url: URL,
  env: NodeJS.ProcessEnv = process.env,
): SocksProxy | undefined {
  const host = url.hostname.replace(/^\[|\]$/g, "");
  if (host === "localhost" || host === "::1" || (isIP(host) === 4 && host.startsWith("127.")))
    return undefined;
  const name = url.protocol === "https:" ? "HTTPS_PROXY" : "HTTP_PROXY";
  const proxy = env[name] || env[name.toLowerCase()] || "";
  if (!/^socks5h?:/.test(proxy) || isExempt(host, env.NO_PROXY || env.no_proxy || "")) return;
  const { hostname, port } = new URL(proxy.replace(/^socks5h?:/, "http:"));
  return { host: hostname.replace(/^\[|\]$/g, ""), port: Number(port || 1080) };
}

/** A host that NO_PROXY names, or that lies below a domain that it names. */
const isExempt = (host: string, list: string) =>
  list
    .split(",")
    .map((each) => each.trim().replace(/^\*?\./, ""))
    .some((each) => each !== "" && (each === "*" || host === each || host.endsWith(`.${each}`)));

/** The part of fetch that the API's client needs, by a SOCKS proxy that also looks the name up. */
export async function fetchBySocks(
  proxy: SocksProxy,
  url: URL,
  options: {
    method: string;
    headers: Record<string, string>;
    body?: string;
    signal: AbortSignal;
  },
): Promise<Response> {
  const socket = await connect(proxy, url);
  const { body, ...rest } = options;
  const answer = await new Promise<IncomingMessage>((resolve, reject) => {
    const request = plainRequest(
      {
        ...rest,
        path: url.pathname + url.search,
        host: url.hostname,
        createConnection: () => socket,
      },
      resolve,
    );
    request.on("error", reject);
    request.end(body);
  });
  const said = await text(answer);
  socket.destroy();
  const status = answer.statusCode ?? 0;
  const headers = Object.entries(answer.headers).map(([key, value]): [string, string] => [
    key,
    String(value),
  ]);
  return new Response(said === "" ? null : said, { status, headers });
}

async function connect(proxy: SocksProxy, url: URL): Promise<Socket> {
  const port = Number(url.port || (url.protocol === "https:" ? 443 : 80));
  const { socket } = await SocksClient.createConnection({
    proxy: { ...proxy, type: 5 },
    command: "connect",
    destination: { host: url.hostname, port },
    timeout: 60_000,
  });
  return url.protocol === "https:" ? connectTls({ socket, servername: url.hostname }) : socket;
}
