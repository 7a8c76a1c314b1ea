import type * as pulumi from "@pulumi/pulumi";
import type { Settings, Smarthost } from "../../settings.ts";
import { readRoleFolder } from "../role.ts";

export const folder = readRoleFolder("smarthost");

/** Where Postfix connects to: the smarthost, or the address on this machine that leads there by Tor (files/onion-mail). */
export const smarthostHop = ({ tor }: Pick<Settings, "tor">, { host, port }: Smarthost) =>
  tor?.managed ? "[127.199.0.1]:10125" : `[${host}]:${port}`;

/** Where, and who we are there. Secret. */
export function variables(
  settings: Pick<Settings, "tor">,
  smarthost: Smarthost,
  { user, password }: NonNullable<Smarthost["login"]>,
): Record<string, pulumi.Input<string>> {
  return { hop: smarthostHop(settings, smarthost), user, password };
}
