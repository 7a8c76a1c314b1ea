import type { TorSettings } from "../../settings/tor.ts";
import { readRoleFolder } from "../role.ts";
import { onionPorts } from "./tor.ts";

export const folder = readRoleFolder("onion-dovecot");

/** The listeners for users' programs, if there is a service for them. */
export function variables({ services }: Pick<TorSettings, "services">) {
  const forUsers = services.some(({ name }) => name === "users");
  return { listeners: forUsers ? listeners : "# none" };
}

const { 993: imaps, 4190: sieve } = onionPorts.users;

const listeners = `service imap-login {
  inet_listener imaps-onion {
    listen = 127.0.0.1
    port = ${imaps}
    ssl = yes
    haproxy = yes
  }
}
service managesieve-login {
  inet_listener sieve-onion {
    listen = 127.0.0.1
    port = ${sieve}
    haproxy = yes
  }
}`;
