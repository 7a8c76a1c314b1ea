import * as pulumi from "@pulumi/pulumi";
import { isOnionAddress } from "../../settings/onion-address.ts";
import { hidesUsers, isHidden } from "../../settings/tor.ts";
import type { Settings, Smarthost } from "../../settings.ts";
import type { OnionNames } from "../onion.ts";
import { readRoleFolder } from "../role.ts";
import { smarthostHop } from "./smarthost.ts";
import { ownAddress } from "./system.ts";
import { onionPorts } from "./tor.ts";

export const folder = readRoleFolder("postfix");

/**
 * `…Bind` is what a listener of master.cf is bound to: all
 * addresses, or the one of the server's own name where strangers come by onion only.
 */
export function variables(
  settings: Settings,
  onion: Partial<OnionNames>,
): Record<string, pulumi.Input<string>> {
  return {
    serverHostname: settings.serverHostname,
    inboundTlsLevel: inboundTlsLevel(settings),
    smtpBind: isHidden(settings) ? ownOnly : "",
    usersBind: hidesUsers(settings) ? ownOnly : "",
    wayOut: wayOut(settings),
    transports: transports(settings).join("\n") || "# none",
    onionListeners: pulumi
      .all([onion.smtp, onion.users])
      .apply(([smtp, users]) => onionListeners(settings, smtp, users).join("\n") || "# none"),
  };
}

/** As in postconf(5), smtpd_tls_security_level. */
export const inboundTlsLevel = ({ inboundTls }: Pick<Settings, "inboundTls">) =>
  inboundTls === "required" ? "encrypt" : "may";

const ownOnly = `${ownAddress}:`;

/** Where mail to others goes. */
export function wayOut(settings: Settings): string {
  const { tor, smarthost } = settings;
  const maps = tor?.managed
    ? "transport_maps = proxy:socketmap:unix:/run/onion-mail/socket:way"
    : "transport_maps =";
  if (smarthost)
    return `${maps}\ndefault_transport = smarthost:${smarthostHop(settings, smarthost)}`;
  if (!isHidden(settings)) return maps;
  return `${maps}\n# Nobody but Tor gets out of here (files/hidden).\ndefault_transport = error:5.4.4 this server sends by onion only, and knows none of that domain`;
}

/** Postfix's clients for mail by onion, and to the smarthost. An onion name proves itself: no other name is checked. */
export function transports({ tor, smarthost }: Settings): string[] {
  const peers = client("smtp-by-tor", ["smtp_tls_security_level=encrypt"]);
  const passedOn = smarthost ? [toSmarthost(smarthost)] : [];
  return tor?.managed ? [peers, ...passedOn] : passedOn;
}

/** A gateway of one's own, which has an onion name, knows us by our key. */
function toSmarthost(smarthost: Smarthost): string {
  if (isOnionAddress(smarthost.host))
    return client("smarthost", [
      "smtp_tls_security_level=encrypt",
      `smtp_tls_chain_files=${onionChain("smtp")}`,
    ]);
  const login = [
    "smtp_sasl_auth_enable=yes",
    "smtp_sasl_password_maps=texthash:/etc/postfix/smarthost",
    "smtp_sasl_security_options=noanonymous",
  ];
  return client("smarthost", [
    "smtp_tls_security_level=secure",
    `smtp_tls_secure_cert_match=${smarthost.host}`,
    `smtp_tls_servername=${smarthost.host}`,
    ...(smarthost.port === 465 ? ["smtp_tls_wrappermode=yes"] : []),
    ...(smarthost.login ? login : []),
  ]);
}

/** Key and certificate of an onion name (files/onion-tls). */
const onionChain = (service: "smtp" | "users") =>
  `/etc/ssl/mail/onion-${service}-key.pem,/etc/ssl/mail/onion-${service}-cert.pem`;

const client = (name: string, options: string[]) =>
  [
    `${name} unix -       -       y       -       -       smtp`,
    ...options.map((option) => `  -o ${option}`),
  ].join("\n");

const onionListeners = (
  settings: Settings,
  smtp: string | undefined,
  users: string | undefined,
) => [
  ...(smtp === undefined ? [] : [fromServers(settings, smtp)]),
  ...(users === undefined ? [] : submissionPorts.map((port) => fromUsers(port, users))),
];

/** One for what comes in by Tor, with the name that it greets with. */
export const listener = (
  port: number,
  name: string,
  service: "smtp" | "users",
  options: string[],
) =>
  [
    `127.0.0.1:${port} inet n  -       y       -       -       smtpd`,
    ...[
      "smtpd_upstream_proxy_protocol=haproxy",
      `myhostname=${name}`,
      `smtpd_tls_chain_files=${onionChain(service)}`,
      // Nobody shares a circuit's address: these are for each of them.
      "smtpd_client_connection_count_limit=10",
      ...options,
    ].map((option) => `  -o ${option}`),
  ].join("\n");

/**
 * A circuit says nothing of who comes by it: nobody sends in the name of our own domains. Who asks for the server's name
 * gets proof that it is the same server, unless that is hidden (files/onion-mail, which asks others so).
 */
const fromServers = (settings: Settings, name: string) =>
  listener(onionPorts.smtp[25], name, "smtp", [
    "syslog_name=postfix/onion",
    "{ smtpd_sender_restrictions = reject_non_fqdn_sender, check_sender_access proxy:sqlite:/etc/postfix/sqlite/ours.cf }",
    ...(isHidden(settings)
      ? []
      : [
          `{ tls_server_sni_maps = inline:{ { ${settings.serverHostname} = /etc/ssl/mail/key.pem, /etc/ssl/mail/cert.pem } } }`,
        ]),
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
    "smtpd_sender_restrictions=reject_authenticated_sender_login_mismatch",
    "smtpd_relay_restrictions=permit_sasl_authenticated,reject",
    "cleanup_service_name=subcleanup",
  ]);
