import type { TlsMaterial } from "../keys.ts";
import { readRoleFolder } from "../role.ts";

export const folder = readRoleFolder("onion-tls");

/** Keys and certificates of the names that users and other servers connect to, PEM. */
export function variables({ users, smtp }: { users: TlsMaterial; smtp: TlsMaterial }) {
  return {
    usersKey: users.key,
    usersChain: users.chain,
    smtpKey: smtp.key,
    smtpChain: smtp.chain,
  };
}
