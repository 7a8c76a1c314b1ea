import type { TorSettings } from "../../settings/tor.ts";
import { readRoleFolder } from "../role.ts";
import { onionPorts } from "./tor.ts";

export const folder = readRoleFolder("onion-services");

/** Dovecot's listeners for onion clients, and where SSH listens. */
export function variables({ services, onionOnly }: TorSettings) {
  const forUsers = services.some(({ name }) => name === "users");
  return {
    listeners: forUsers ? dovecotListeners : "# none",
    listen: onionOnly === "false" ? "" : "# Only by onion.\nListenAddress 127.0.0.1",
  };
}

const { 993: imaps, 4190: sieve } = onionPorts.users;

const dovecotListeners = `service imap-login {
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
