import type * as pulumi from "@pulumi/pulumi";
import type { Smarthost } from "../../settings.ts";
import { readRoleFolder } from "../role.ts";

export const folder = readRoleFolder("smarthost");

/** Where, and who we are there. Secret. */
export function variables(
  { host, port }: Smarthost,
  { user, password }: NonNullable<Smarthost["login"]>,
): Record<string, pulumi.Input<string>> {
  return { host, port: String(port), user, password };
}
