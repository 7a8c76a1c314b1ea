import * as pulumi from "@pulumi/pulumi";
import type { Settings } from "../../settings.ts";
import type { OnionNames } from "../onion.ts";
import { readRoleFolder } from "../role.ts";
import { onionPorts } from "./tor.ts";

export const folder = readRoleFolder("postfix");

/**
 * `inboundTlsLevel` as in postconf(5), smtpd_tls_security_level. `…Bind` is what a listener of master.cf is bound to: all
 * addresses, or the one of the server's own name where strangers come by onion only.
 */
export function variables(
  settings: Settings,
  onion: Partial<OnionNames>,
): Record<string, pulumi.Input<string>> {
  const onionOnly = settings.tor?.onionOnly ?? "false";
  return {
    serverHostname: settings.serverHostname,
    inboundTlsLevel: settings.inboundTls === "required" ? "encrypt" : "may",
    smtpBind: onionOnly === "all" ? localOnly : "",
    usersBind: onionOnly === "all" || onionOnly === "users" ? localOnly : "",
    onionListeners: pulumi
      .all([onion.smtp, onion.users])
      .apply(([smtp, users]) => onionListeners(smtp, users).join("\n") || "# none"),
  };
}

/** The server's own name leads here (/etc/hosts), for its own check. */
const localOnly = "127.0.1.1:";

const onionListeners = (smtp: string | undefined, users: string | undefined) => [
  ...(smtp === undefined ? [] : [fromServers(smtp)]),
  ...(users === undefined ? [] : submissionPorts.map((port) => fromUsers(port, users))),
];

const listener = (port: number, name: string, service: "smtp" | "users", options: string[]) =>
  [
    `127.0.0.1:${port} inet n  -       y       -       -       smtpd`,
    ...[
      "smtpd_upstream_proxy_protocol=haproxy",
      `myhostname=${name}`,
      `smtpd_tls_chain_files=/etc/ssl/mail/onion-${service}-key.pem,/etc/ssl/mail/onion-${service}-cert.pem`,
      // Nobody shares a circuit's address: these are for each of them.
      "smtpd_client_connection_count_limit=10",
      ...options,
    ].map((option) => `  -o ${option}`),
  ].join("\n");

/** A circuit says nothing of who comes by it: nobody sends in the name of our own domains. */
const fromServers = (name: string) =>
  listener(onionPorts.smtp[25], name, "smtp", [
    "syslog_name=postfix/onion",
    "{ smtpd_sender_restrictions = reject_non_fqdn_sender, check_sender_access proxy:sqlite:/etc/postfix/sqlite/ours.cf }",
  ]);

const submissionPorts = [465, 587] as const;

const fromUsers = (port: (typeof submissionPorts)[number], name: string) =>
  listener(onionPorts.users[port], name, "users", [
    "syslog_name=postfix/onion-submission",
    ...(port === 465 ? ["smtpd_tls_wrappermode=yes"] : []),
    "smtpd_tls_security_level=encrypt",
    "smtpd_sasl_auth_enable=yes",
    "smtpd_client_auth_rate_limit=20",
    "smtpd_hide_client_session=yes",
    "smtpd_client_restrictions=permit_sasl_authenticated,reject",
    "smtpd_sender_restrictions=reject_sender_login_mismatch",
    "smtpd_relay_restrictions=permit_sasl_authenticated,reject",
    "cleanup_service_name=subcleanup",
  ]);
