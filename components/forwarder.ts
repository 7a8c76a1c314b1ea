import { createHash } from "node:crypto";
import { createServer, type Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import * as pulumi from "@pulumi/pulumi";
import { connectByTor } from "../admin/tor-proxy.ts";

const loopback = "127.0.0.1";
const [firstPort, ports] = [20_000, 10_000];

/** The port on this machine by which an onion service is reached: always the same one, as it stands in the state. */
export function forwarderPort(onion: string): number {
  const digest = createHash("sha256").update(onion).digest();
  return firstPort + (digest.readUInt32BE() % ports);
}

/**
 * A way by Tor to an onion service, for programs that know nothing of Tor: a port on this machine that is there as long as
 * this program runs. A preview connects to nothing. Nothing here keeps the program alive.
 */
export function forwardTo(onion: string, port: number): { host: string; port: number } {
  const own = forwarderPort(onion);
  if (!pulumi.runtime.isDryRun() && !running.has(onion)) {
    running.add(onion);
    listen(own, (incoming) => forward(incoming, onion, port));
  }
  return { host: loopback, port: own };
}

const running = new Set<string>();

function listen(port: number, onConnection: (incoming: Socket) => Promise<void>): void {
  const server = createServer((incoming) => void onConnection(incoming));
  server.on("error", async () => {
    // Another run for the same stack has the port, and forwards as well; when it ends we go on.
    await sleep(1000, undefined, { ref: false });
    server.listen(port, loopback);
  });
  server.listen(port, loopback);
  server.unref();
}

async function forward(incoming: Socket, onion: string, port: number): Promise<void> {
  incoming.unref();
  incoming.on("error", () => {}); // whoever connected has gone
  try {
    const outgoing = await connectByTor({ host: onion, port });
    outgoing.unref().on("error", () => incoming.destroy());
    incoming.on("close", () => outgoing.destroy());
    incoming.pipe(outgoing).pipe(incoming);
  } catch (error) {
    incoming.destroy();
    say(error instanceof Error ? error.message : String(error));
  }
}

const said = new Set<string>();

/** Each reason once: connections are tried again and again. */
function say(message: string): void {
  if (said.has(message)) return;
  said.add(message);
  void pulumi.log.info(message);
}
