import { existsSync } from "node:fs";
import { join } from "node:path";
import { paths, root } from "../paths.ts";
import { type CloudStatus, statusSchema } from "./api/inspect.ts";
import { Daemon, type Report } from "./daemon.ts";
import type { Endpoint } from "./endpoint.ts";

export type { CloudStatus, Endpoint };

const pinnedNode = join(root, "node_modules", ".bin", "node");
const node = existsSync(pinnedNode) ? pinnedNode : process.execPath;
const daemon = new Daemon(paths.cloud, [node, join(import.meta.dirname, "server.ts")]);
const toPerson: Report = (line) => console.error(line);

/** Where the cloud's API is; `undefined` while it is off. */
export function endpoint(): Promise<Endpoint | undefined> {
  return daemon.endpoint();
}

/**
 * Starts the cloud, with every guest that was on, where it isn't running, and returns when it answers.
 * @throws The cloud's last words where it can't start.
 */
export function startCloud(options: { report?: Report } = {}): Promise<Endpoint> {
  return daemon.start(options.report ?? toPerson);
}

/** Stops the cloud, its guests and its network; with `guests: false` only the API's process. */
export function stopCloud(options: { guests?: boolean; report?: Report } = {}): Promise<void> {
  return daemon.stop(options.guests ?? true, options.report ?? toPerson);
}

/** What is in the cloud; `undefined` while it is off. */
export async function cloudStatus(): Promise<CloudStatus | undefined> {
  const cloud = await endpoint();
  if (!cloud) return undefined;
  const headers = { authorization: `Bearer ${cloud.token}` };
  const response = await fetch(`${cloud.url}/sandbox/status`, { headers });
  if (!response.ok) throw new Error(`The cloud at ${cloud.url} answers ${response.status}.`);
  return statusSchema.parse(await response.json());
}
