import type { Settings } from "../../settings.ts";
import { readRoleFolder } from "../role.ts";

export const folder = readRoleFolder("system");

/** The machine's names and whom its upgrades report to. */
export function variables(settings: Settings) {
  const [shortHostname = ""] = settings.serverHostname.split(".");
  return {
    serverHostname: settings.serverHostname,
    shortHostname,
    adminEmail: settings.adminEmail,
    // Nobody is there at night to open an encrypted volume: unattended-upgrades' mail says "[reboot required]".
    automaticReboot: String(!settings.encryptVolume),
  };
}
