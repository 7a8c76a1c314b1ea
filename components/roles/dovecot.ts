import type { Settings } from "../../settings.ts";
import { readRoleFolder } from "../role.ts";

export const folder = readRoleFolder("dovecot");

export function variables(settings: Settings) {
  return { serverHostname: settings.serverHostname };
}
