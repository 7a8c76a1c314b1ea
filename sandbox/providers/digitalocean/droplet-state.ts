import { isIP } from "node:net";
import type { Properties } from "../kit.ts";
import type { Api } from "./api.ts";
import { only, step } from "./rules.ts";
import type { Droplet } from "./shapes.ts";

/** What the API does not tell again. */
const kept = [
  "backupPolicy",
  "dropletAgent",
  "gpuPartitionMode",
  "gracefulShutdown",
  "image",
  "resizeDisk",
  "sshKeys",
  "userData",
];

type Address = { ip_address: string; type: string };

const find = (list: Address[] | null | undefined, type: string): string =>
  list?.find((one) => one.type === type && isIP(one.ip_address) !== 0)?.ip_address ?? "";

/** A droplet's outputs; `known` is the old state, or the inputs in the state's form. */
export function outputsOf(droplet: Droplet, known: Properties): Properties {
  const publicAddress = find(droplet.networks.v4, "public");
  return {
    ...only(known, kept),
    ...featuresOf(droplet, known),
    name: droplet.name,
    dropletUrn: `do:droplet:${droplet.id}`,
    region: droplet.region.slug,
    size: droplet.size.slug,
    priceHourly: droplet.size.price_hourly ?? 0,
    priceMonthly: droplet.size.price_monthly ?? 0,
    disk: droplet.disk,
    vcpus: droplet.vcpus,
    memory: droplet.memory,
    status: droplet.status,
    locked: droplet.locked,
    createdAt: droplet.created_at,
    vpcUuid: droplet.vpc_uuid,
    ipv4Address: publicAddress,
    ipv4AddressPrivate: find(droplet.networks.v4, "private"),
    ipv6Address: find(droplet.networks.v6, "public").toLowerCase(),
    publicNetworking: publicAddress !== "",
    volumeIds: droplet.volume_ids,
    tags: droplet.tags,
  };
}

function featuresOf({ features }: Droplet, known: Properties): Properties {
  if (!features) return only(known, ["backups", "ipv6", "monitoring", "privateNetworking"]);
  return {
    backups: features.includes("backups"),
    ipv6: features.includes("ipv6"),
    monitoring: features.includes("monitoring"),
    privateNetworking: features.includes("private_networking"),
  };
}

interface Condition {
  seconds: number;
  /** Asked of an unlocked droplet. */
  is: (droplet: Droplet) => boolean;
}

/** Waits until an unlocked droplet fits. One that is gone is waited for, the end, or an error. */
export async function awaitDroplet(
  api: Api,
  id: string,
  condition: Condition & { whenGone: "wait" | "fail" },
): Promise<Droplet>;
export async function awaitDroplet(
  api: Api,
  id: string,
  condition: Condition & { whenGone: "stop" },
): Promise<Droplet | null>;
export async function awaitDroplet(
  api: Api,
  id: string,
  condition: Condition & { whenGone: "wait" | "fail" | "stop" },
): Promise<Droplet | null> {
  const { found } = await api.poll(condition.seconds, async () => {
    const droplet = await api.droplets.get(id);
    if (droplet !== null) {
      return !droplet.locked && condition.is(droplet) ? { found: droplet } : null;
    }
    if (condition.whenGone === "fail") throw new Error(`droplet (${id}) not found during update`);
    return condition.whenGone === "stop" ? { found: null } : null;
  });
  return found;
}

export async function attachVolume(api: Api, volumeId: string, dropletId: string): Promise<void> {
  await step(`Error attaching volume "${volumeId}" to droplet (${dropletId})`, async () =>
    api.finish(
      await api.act(api.volumes.path(volumeId), { type: "attach", droplet_id: Number(dropletId) }),
    ),
  );
}

export async function detachVolume(api: Api, volumeId: string, dropletId: string): Promise<void> {
  await step(`Error detaching volume "${volumeId}" from droplet (${dropletId})`, async () =>
    api.finish(
      await api.act(api.volumes.path(volumeId), { type: "detach", droplet_id: Number(dropletId) }),
    ),
  );
}
