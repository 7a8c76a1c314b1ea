import type * as pulumi from "@pulumi/pulumi";
import { readRoleFolder } from "../role.ts";

export const folder = readRoleFolder("storage");

/** The volume's name at DigitalOcean, which its device on the machine carries. */
export function variables(volumeName: pulumi.Input<string>) {
  return { volumeName };
}
