import type * as pulumi from "@pulumi/pulumi";
import type { MailVolume } from "../machine.ts";
import { readRoleFolder } from "../role.ts";

export const folder = readRoleFolder("storage");

/** The device that holds the file system, and what starts the mount: an encrypted one is there once it has been opened. */
export function variables(
  volume: MailVolume,
  encrypted: boolean,
): Record<string, pulumi.Input<string>> {
  const kind = encrypted ? "an encrypted volume" : "a volume";
  return {
    description: volume.size === null ? kind : `${kind} of ${volume.size} GiB`,
    holder: encrypted ? "/dev/mapper/mail" : volume.device,
    startedBy: encrypted ? "dev-mapper-mail.device" : "multi-user.target",
  };
}
