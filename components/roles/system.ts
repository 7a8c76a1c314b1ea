import type { Settings } from "../../settings.ts";
import { readRoleFolder } from "../role.ts";

export const folder = readRoleFolder("system");

/** Where the server's own name leads on the server (etc/hosts), for its own check. */
export const ownAddress = "127.0.1.1";

/** The machine's names and whom its upgrades report to. */
export function variables(settings: Settings) {
  const [shortHostname = ""] = settings.serverHostname.split(".");
  return {
    ownAddress,
    serverHostname: settings.serverHostname,
    shortHostname,
    adminEmail: settings.adminEmail,
    // Nobody is there at night to open an encrypted volume: unattended-upgrades' mail says "[reboot required]".
    automaticReboot: String(!settings.encryptVolume),
  };
}
