import type * as pulumi from "@pulumi/pulumi";
import type { MailVolume } from "../machine.ts";
import { readRoleFolder } from "../role.ts";

export const folder = readRoleFolder("volume");

export function variables(
  volume: MailVolume,
  encrypted: boolean,
): Record<string, pulumi.Input<string>> {
  return { device: volume.device, encrypted: String(encrypted) };
}
