import type { Settings } from "../../settings.ts";
import { readRoleFolder } from "../role.ts";

export const folder = readRoleFolder("users");

/** Addresses that every mail domain must have (RFC 2142), and root's. */
const officialNames = ["postmaster", "abuse", "hostmaster", "webmaster"];

/** The address of the user for trying things out, or null where there is none. */
export function testAddress(settings: Settings): string | null {
  return settings.debug ? `test@${settings.mailDomain}` : null;
}

/** Domains and aliases as `mailfruit sync` reads them. */
export function variables(settings: Settings) {
  const admin = settings.adminEmail.toLowerCase();
  const addresses = [
    ...officialNames.map((name) => `${name}@${settings.mailDomain}`),
    `root@${settings.serverHostname}`,
    `postmaster@${settings.serverHostname}`,
  ].filter((address) => address !== admin);
  const test = testAddress(settings);
  const accounts = {
    domains: [settings.mailDomain],
    aliases: Object.fromEntries(addresses.map((address) => [address, [settings.adminEmail]])),
    debugUsers: test === null ? [] : [test],
  };
  return { accounts: `${JSON.stringify(accounts, null, 2)}\n` };
}
