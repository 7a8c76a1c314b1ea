import type { Settings } from "../../settings.ts";
import { readRoleFolder } from "../role.ts";
import { inboundTlsLevel, listener, transports, wayOut } from "./postfix.ts";
import { onionPorts } from "./tor.ts";

export const folder = readRoleFolder("gateway");

/** Whose mail it takes, and by which key it knows who hands mail in. */
export function variables(settings: Settings) {
  const { serverHostname, mailDomain, adminEmail, gatewayClient } = settings;
  return {
    serverHostname,
    mailDomain,
    adminEmail,
    inboundTlsLevel: inboundTlsLevel(settings),
    wayOut: wayOut(settings),
    transports: transports(settings).join("\n"),
    gatewayClient: gatewayClient ?? "there is none",
    onionListener: gatewayClient === null ? "# none" : fromHidden(settings, gatewayClient),
  };
}

/**
 * Who has the key sends mail of the domain to anybody; all others are refused. What is said of where a mail came from would
 * be the circuit, and our onion name.
 */
const fromHidden = ({ serverHostname, mailDomain }: Settings, fingerprint: string) =>
  listener(onionPorts.smtp[25], serverHostname, "smtp", [
    "syslog_name=postfix/onion",
    "smtpd_hide_client_session=yes",
    "smtpd_tls_security_level=encrypt",
    "smtpd_tls_ask_ccert=yes",
    "smtpd_tls_fingerprint_digest=sha256",
    `{ relay_clientcerts = inline:{ { ${fingerprint} = hidden } } }`,
    "smtpd_relay_restrictions=permit_tls_clientcerts,reject",
    "smtpd_recipient_restrictions=reject_non_fqdn_recipient",
    // Its own reports have no sender.
    `{ smtpd_sender_restrictions = check_sender_access inline:{ { ${mailDomain} = OK } { <> = OK } }, reject }`,
  ]);
