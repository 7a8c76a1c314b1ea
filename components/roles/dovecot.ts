import { hidesUsers } from "../../settings/tor.ts";
import type { Settings } from "../../settings.ts";
import { readRoleFolder } from "../role.ts";
import { ownAddress } from "./system.ts";

export const folder = readRoleFolder("dovecot");

/** `listen`: all addresses, or the one of the server's own name where users come by onion only. */
export function variables(settings: Settings) {
  const listen = hidesUsers(settings) ? ownAddress : "*, ::";
  return { serverHostname: settings.serverHostname, listen };
}
