import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { join } from "node:path";
import { createAdaptorServer } from "@hono/node-server";
import { createApp } from "./api/app.ts";
import { Cloud } from "./api/cloud.ts";
import { reason } from "./api/errors.ts";
import type { Log } from "./api/log.ts";
import { Store } from "./api/store.ts";
import { readEndpoint, writeEndpoint } from "./endpoint.ts";
import type { Hypervisor } from "./hypervisor.ts";

/** How long work under way may take to end once we are asked to stop. */
const patienceSeconds = 60;
/** Milliseconds; longer than the pauses of clients that poll, who otherwise meet a closed connection. */
const keepAliveTimeout = 75_000;

export interface ServeOptions {
  /** The state folder. */
  dir: string;
  hypervisor: Hypervisor;
  /** Asked once the hypervisor has started. */
  addresses: () => Promise<{ hostAddress: string; resolverAddress: string }>;
  log: Log;
}

/**
 * Runs the cloud until SIGTERM, SIGINT or SIGHUP; guests go on after it.
 * The token, and the port where it is still free, are those of the last time.
 */
export async function serveCloud({ dir, hypervisor, addresses, log }: ServeOptions): Promise<void> {
  const stopped = untilSignal();
  const last = await readEndpoint(dir);
  const token = last?.token ?? `dop_v1_${randomBytes(32).toString("hex")}`;
  const cloud = new Cloud(await Store.open(join(dir, "account.json")), hypervisor, log);
  log("Starting the network, the DNS and the guests that were on.");
  await hypervisor.start();
  await cloud.restore();
  const { fetch } = createApp(cloud, token);
  const server = createAdaptorServer({ fetch, serverOptions: { keepAliveTimeout } });
  const port = await listen(server, last ? Number(new URL(last.url).port) : 0);
  const url = `http://127.0.0.1:${port}`;
  await writeEndpoint(dir, { url, token, pid: process.pid, ...(await addresses()) });
  log(`The cloud answers at ${url}.`);
  log(`${await stopped}: stopping.`);
  server.close();
  await settle(cloud, log);
  if ("closeAllConnections" in server) server.closeAllConnections();
}

type Server = ReturnType<typeof createAdaptorServer>;

function untilSignal(): Promise<NodeJS.Signals> {
  return new Promise((resolve) => {
    for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"] as const) process.on(signal, resolve);
  });
}

async function listen(server: Server, wanted: number): Promise<number> {
  const at = async (port: number) => {
    server.listen(port, "127.0.0.1");
    await once(server, "listening");
  };
  await at(wanted).catch(() => at(0));
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("The API has no port.");
  return address.port;
}

/** A guest that is being made is made to its end: the next start would not know of it otherwise. */
async function settle(cloud: Cloud, log: Log): Promise<void> {
  const patience = new Promise((resolve) => setTimeout(resolve, patienceSeconds * 1000).unref());
  await Promise.race([cloud.actions.settled(), patience]);
  await cloud.store
    .save()
    .catch((error: unknown) => log(`the state can't be saved: ${reason(error)}`));
}
