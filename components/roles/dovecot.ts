import type { Settings } from "../../settings.ts";
import { readRoleFolder } from "../role.ts";

export const folder = readRoleFolder("dovecot");

/** `listen`: all addresses, or the one of the server's own name where users come by onion only. */
export function variables({ serverHostname, tor }: Settings) {
  const byOnion = tor?.onionOnly === "users" || tor?.onionOnly === "all";
  return { serverHostname, listen: byOnion ? "127.0.1.1" : "*, ::" };
}
