import type * as pulumi from "@pulumi/pulumi";
import { readRoleFolder } from "../role.ts";

export const folder = readRoleFolder("storage");

/** The volume's name at DigitalOcean, which its device on the machine carries, and its size in GiB. */
export function variables(volumeName: pulumi.Input<string>, gibibytes: number) {
  return { volumeName, size: String(gibibytes) };
}
