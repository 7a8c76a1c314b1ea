import { randomUUID } from "node:crypto";
import { type Context, Hono } from "hono";
import { z } from "zod";
import { body, list, maybeText } from "./body.ts";
import { isRegion, regionOf } from "./catalogue.ts";
import type { Cloud } from "./cloud.ts";
import { conflict, notFound, unprocessable } from "./errors.ts";
import { listed } from "./paging.ts";
import type { Volume } from "./state.ts";
import { useTags } from "./tags.ts";

export const mostGigabytes = 16384;
const longestLabel = { "": 0, ext4: 16, xfs: 12 };

const volumeRequest = z.object({
  name: z.string(),
  region: maybeText,
  size_gigabytes: z.int(),
  description: maybeText,
  snapshot_id: maybeText,
  filesystem_type: maybeText.pipe(
    z.enum(["", "ext4", "xfs"], { error: "must be either ext4 or xfs" }),
  ),
  filesystem_label: maybeText,
  tags: list(z.string()),
});

export function volumeRoutes(cloud: Cloud): Hono {
  const routes = new Hono();
  const at = (c: Context) => volumeOf(cloud, c.req.param("id") ?? "");
  routes.get("/volumes", (c) => {
    const { name, region } = c.req.query();
    const found = cloud.state.volumes.filter(
      (one) => (!name || one.name === name) && (!region || one.region === region),
    );
    return c.json(listed(c, "volumes", found, volumeJson));
  });
  routes.post("/volumes", async (c) => {
    const volume = await addVolume(cloud, await body(c, volumeRequest));
    return c.json({ volume: volumeJson(volume) }, 201);
  });
  routes.get("/volumes/:id", (c) => c.json({ volume: volumeJson(at(c)) }));
  routes.get("/volumes/:id/snapshots", (c) => {
    at(c);
    return c.json(listed(c, "snapshots", [], String));
  });
  routes.delete("/volumes/:id", async (c) => {
    await deleteVolume(cloud, at(c));
    return c.body(null, 204);
  });
  routes.delete("/volumes", async (c) => {
    const { name = "", region = "" } = c.req.query();
    await deleteVolume(cloud, volumeNamed(cloud, name, region));
    return c.body(null, 204);
  });
  return routes;
}

/** Throws DigitalOcean's 404. */
export function volumeOf(cloud: Cloud, id: string): Volume {
  const volume = cloud.state.volumes.find((one) => one.id === id);
  if (!volume) throw notFound("volume not found");
  return volume;
}

/** Throws DigitalOcean's 404. */
export function volumeNamed(cloud: Cloud, name: string, region: string): Volume {
  const volume = cloud.state.volumes.find((one) => one.name === name && one.region === region);
  if (!volume) throw notFound("volume not found");
  return volume;
}

async function addVolume(cloud: Cloud, request: z.infer<typeof volumeRequest>): Promise<Volume> {
  check(cloud, request);
  const volume: Volume = {
    id: randomUUID(),
    name: request.name,
    region: request.region.toLowerCase(),
    gigabytes: request.size_gigabytes,
    description: request.description,
    filesystemType: request.filesystem_type,
    filesystemLabel: request.filesystem_label,
    tags: useTags(cloud, request.tags),
    dropletId: null,
    createdAt: new Date().toISOString(),
  };
  const { id, name, gigabytes, filesystemType, filesystemLabel } = volume;
  cloud.state.volumes.push(volume);
  try {
    await cloud.hypervisor.createVolume({ id, name, gigabytes, filesystemType, filesystemLabel });
  } catch (error) {
    cloud.state.volumes = cloud.state.volumes.filter((one) => one !== volume);
    throw error;
  }
  return volume;
}

function check(cloud: Cloud, request: z.infer<typeof volumeRequest>): void {
  if (!/^[a-z][a-z0-9-]{0,63}$/.test(request.name) || request.name.endsWith("-")) {
    throw unprocessable(
      "name must begin with a lowercase letter and contain only lowercase letters, numbers, and hyphens, at most 64",
    );
  }
  const region = request.region.toLowerCase();
  if (!isRegion(region)) throw unprocessable("region is required and must exist");
  if (request.snapshot_id !== "") throw unprocessable("The sandbox has no volume snapshots.");
  if (request.size_gigabytes < 1 || request.size_gigabytes > mostGigabytes) {
    throw unprocessable(`size_gigabytes must be between 1 and ${mostGigabytes}`);
  }
  if (request.filesystem_label.length > longestLabel[request.filesystem_type]) {
    throw unprocessable(
      `filesystem_label must be at most ${longestLabel[request.filesystem_type]} characters for this filesystem_type`,
    );
  }
  if (cloud.state.volumes.some((one) => one.name === request.name && one.region === region)) {
    throw conflict("failed to create volume: already exists");
  }
}

async function deleteVolume(cloud: Cloud, volume: Volume): Promise<void> {
  if (volume.dropletId !== null) {
    throw conflict(
      "A volume that's attached to a Droplet cannot be deleted. Please detach it first before deleting.",
    );
  }
  await cloud.hypervisor.destroyVolume(volume.id);
  cloud.state.volumes = cloud.state.volumes.filter((one) => one !== volume);
}

function volumeJson(volume: Volume) {
  return {
    id: volume.id,
    region: regionOf(volume.region),
    droplet_ids: volume.dropletId === null ? [] : [volume.dropletId],
    name: volume.name,
    description: volume.description,
    size_gigabytes: volume.gigabytes,
    filesystem_type: volume.filesystemType,
    filesystem_label: volume.filesystemLabel,
    created_at: volume.createdAt,
    tags: volume.tags,
  };
}
