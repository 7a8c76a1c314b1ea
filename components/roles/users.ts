import * as pulumi from "@pulumi/pulumi";
import { type Mailbox, type Settings, testAddressOf } from "../../settings.ts";
import type { clientSettings } from "../outputs.ts";
import { readRoleFolder } from "../role.ts";

export const folder = readRoleFolder("users");

/** Addresses that every mail domain must have (RFC 2142), and root's. */
const officialNames = ["postmaster", "abuse", "hostmaster", "webmaster"];

export { testAddressOf as testAddress } from "../../settings.ts";

/** Where mail leads, by address: official addresses to the administrator, unless the stack gives them to a mailbox. */
function aliases({ mailDomain, serverHostname, adminEmail, mailboxes }: Settings) {
  const kept = mailboxes.filter((one) => one.kind === "kept");
  const declared = kept.flatMap((one) => one.aliases.map((alias) => [alias, one.address] as const));
  const taken = [...kept.map((one) => one.address), ...declared.map(([alias]) => alias)];
  const official = [
    ...officialNames.map((name) => `${name}@${mailDomain}`),
    `root@${serverHostname}`,
    `postmaster@${serverHostname}`,
  ].filter((address) => address !== adminEmail.toLowerCase() && !taken.includes(address));
  const all = [...official.map((address) => [address, adminEmail] as const), ...declared];
  const byAddress = Map.groupBy(all, ([address]) => address);
  return Object.fromEntries(
    [...byAddress].map(([address, pairs]) => [address, pairs.map(([, to]) => to)]),
  );
}

/** A mailbox as `mailfruit sync` reads it. */
const wanted = (mailbox: Mailbox) =>
  mailbox.kind === "kept"
    ? { quota_mib: mailbox.quotaMib }
    : { delete: true, backup: mailbox.backup };

/** What users and their mail programs have to know of the server. */
export interface ForClients {
  settings: ReturnType<typeof clientSettings>;
  /** PEM: what the certificates are to be trusted by; of the onion name null where there is none. */
  ca: pulumi.Input<string>;
  onionCa: pulumi.Input<string> | null;
}

/** Domains, aliases and mailboxes as `mailfruit sync` reads them. */
export function variables(settings: Settings) {
  const test = testAddressOf(settings);
  const accounts = {
    domains: [settings.mailDomain],
    aliases: aliases(settings),
    mailboxes: Object.fromEntries(settings.mailboxes.map((one) => [one.address, wanted(one)])),
    debugUsers: test === null ? [] : [test],
  };
  return { accounts: `${JSON.stringify(accounts, null, 2)}\n` };
}

/** What `mailfruit user settings` shows. */
export const clientVariables = (clients: ForClients) => ({
  clientSettings: pulumi
    .output(clients)
    .apply(({ settings, ...trust }) => `${JSON.stringify({ ...settings, ...trust }, null, 2)}\n`),
});
