import type { Settings } from "../../settings.ts";
import { readRoleFolder } from "../role.ts";

export const folder = readRoleFolder("postfix");

/** `inboundTlsLevel` as in postconf(5), smtpd_tls_security_level. */
export function variables(settings: Settings) {
  return {
    serverHostname: settings.serverHostname,
    inboundTlsLevel: settings.inboundTls === "required" ? "encrypt" : "may",
  };
}
