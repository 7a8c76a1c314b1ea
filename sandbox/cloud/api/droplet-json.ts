import { findImage, findSize, imageJson, regionOf, sizeJson } from "./catalogue.ts";
import type { Cloud } from "./cloud.ts";
import type { Droplet } from "./state.ts";

/** DigitalOcean's droplet object; a droplet that is still `new` has no addresses yet. */
export function dropletJson(cloud: Cloud, droplet: Droplet) {
  const size = findSize(droplet.size);
  const image = findImage(droplet.imageId);
  return {
    id: droplet.id,
    name: droplet.name,
    memory: size?.memoryMiB ?? 0,
    vcpus: size?.vcpus ?? 0,
    disk: droplet.disk,
    disk_info: [{ type: "local", size: { amount: droplet.disk, unit: "gib" } }],
    locked: droplet.locked,
    status: droplet.status,
    kernel: null,
    created_at: droplet.createdAt,
    features: features(droplet),
    backup_ids: [],
    next_backup_window: null,
    snapshot_ids: [],
    image: image ? imageJson(image) : null,
    volume_ids: cloud.state.volumes
      .filter((volume) => volume.dropletId === droplet.id)
      .map((volume) => volume.id),
    size: size ? sizeJson(size) : null,
    size_slug: droplet.size,
    networks: droplet.status === "new" ? { v4: [], v6: [] } : networks(droplet),
    region: regionOf(droplet.region),
    tags: droplet.tags,
    vpc_uuid: droplet.vpcUuid,
  };
}

function features(droplet: Droplet): string[] {
  return [
    ...(droplet.backups ? ["backups"] : []),
    ...(droplet.ipv6 ? ["ipv6"] : []),
    ...(droplet.monitoring ? ["monitoring"] : []),
    "private_networking",
  ];
}

/** Guests are routed: an address of its own each, and the /16 and /64 that it is taken from. */
function networks(droplet: Droplet) {
  const { ipv4, ipv4Private, ipv6 } = droplet.addresses;
  const v4 = (address: string, type: string) => ({
    ip_address: address,
    netmask: "255.255.0.0",
    gateway: address.replace(/\.\d+\.\d+$/, ".0.1"),
    type,
  });
  const v6 = {
    ip_address: ipv6,
    netmask: 64,
    gateway: ipv6.replace(/::?[0-9a-f]*$/, "::1"),
    type: "public",
  };
  return {
    v4: [v4(ipv4Private, "private"), v4(ipv4, "public")],
    v6: droplet.ipv6 ? [v6] : [],
  };
}
