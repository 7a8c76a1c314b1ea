import * as pulumi from "@pulumi/pulumi";
import type { OnionService } from "../../settings/tor.ts";
import type { OnionIdentity } from "../onion.ts";
import { readRoleFolder } from "../role.ts";

export const folder = readRoleFolder("onion");

/** A service's HiddenServiceDir, named after its address: tor reads a folder's keys only once. */
export const folderName = (service: string, address: string) =>
  `onion-${service}-${address.slice(0, 16)}`;

/** The services with their keys, as onion-folders reads them. Secret. */
export function variables(services: OnionService[], { keys }: OnionIdentity) {
  const written = services.map(({ name, clients }) =>
    keys[name].apply((key) => ({ folder: folderName(name, key.address), ...key, clients })),
  );
  return { services: pulumi.all(written).apply((all) => `${JSON.stringify(all, null, 2)}\n`) };
}
