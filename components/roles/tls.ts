import type { TlsMaterial } from "../keys.ts";
import { readRoleFolder } from "../role.ts";

export const folder = readRoleFolder("tls");

/** Key, certificate and what to trust it by, all PEM. */
export function variables({ key, chain, ca }: TlsMaterial) {
  return { key, chain, ca };
}
