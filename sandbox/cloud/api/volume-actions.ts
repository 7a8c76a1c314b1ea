import { Hono } from "hono";
import { z } from "zod";
import { actionJson, actionOf, actionsOf } from "./actions.ts";
import { body, maybeText } from "./body.ts";
import type { Cloud } from "./cloud.ts";
import { dropletOf } from "./droplets.ts";
import { unprocessable } from "./errors.ts";
import { listed } from "./paging.ts";
import type { Action, Volume } from "./state.ts";
import { mostGigabytes, volumeNamed, volumeOf } from "./volumes.ts";

const actionRequest = z.object({
  type: z.string(),
  droplet_id: z.int().nullish(),
  size_gigabytes: z.int().nullish(),
  volume_name: maybeText,
  region: maybeText,
});
type ActionRequest = z.infer<typeof actionRequest>;

export function volumeActionRoutes(cloud: Cloud): Hono {
  const routes = new Hono();
  routes.post("/volumes/actions", async (c) => {
    const request = await body(c, actionRequest);
    const volume = volumeNamed(cloud, request.volume_name, request.region);
    return c.json({ action: actionJson(begin(cloud, volume, request)) }, 202);
  });
  routes.post("/volumes/:id/actions", async (c) => {
    const volume = volumeOf(cloud, c.req.param("id"));
    const request = await body(c, actionRequest);
    return c.json({ action: actionJson(begin(cloud, volume, request)) }, 202);
  });
  routes.get("/volumes/:id/actions", (c) => {
    const { id } = volumeOf(cloud, c.req.param("id"));
    return c.json(listed(c, "actions", actionsOf(cloud, `volume:${id}`), actionJson));
  });
  routes.get("/volumes/:id/actions/:action", (c) => {
    const { id } = volumeOf(cloud, c.req.param("id"));
    return c.json({ action: actionJson(actionOf(cloud, `volume:${id}`, c.req.param("action"))) });
  });
  return routes;
}

function begin(cloud: Cloud, volume: Volume, request: ActionRequest): Action {
  switch (request.type) {
    case "attach":
      return attach(cloud, volume, request);
    case "detach":
      return detach(cloud, volume, request);
    case "resize":
      return resize(cloud, volume, request.size_gigabytes ?? 0);
    default:
      throw unprocessable(`The sandbox's volumes have no action '${request.type}'.`);
  }
}

function about(volume: Volume, type: string) {
  const subject = `volume:${volume.id}`;
  return { type, subject, resourceType: "volume" as const, resourceId: null };
}

function attach(cloud: Cloud, volume: Volume, request: ActionRequest): Action {
  const droplet = dropletOf(cloud, String(request.droplet_id));
  if (volume.dropletId !== null) {
    throw unprocessable(
      volume.dropletId === droplet.id
        ? "This volume is already attached"
        : "This volume is attached to another Droplet. Please detach it first.",
    );
  }
  if (volume.region !== droplet.region) {
    throw unprocessable("Volume and Droplet must be in the same region.");
  }
  const action = cloud.beginOn(droplet, about(volume, "attach_volume"), async () => {
    try {
      await cloud.hypervisor.attachVolume(volume.id, droplet.id);
    } catch (error) {
      volume.dropletId = null;
      throw error;
    }
  });
  // At once, so that nobody else attaches or deletes it meanwhile.
  volume.dropletId = droplet.id;
  return action;
}

function detach(cloud: Cloud, volume: Volume, request: ActionRequest): Action {
  const wanted = request.droplet_id ?? volume.dropletId;
  if (volume.dropletId === null || wanted !== volume.dropletId) {
    throw unprocessable("Attachment not found");
  }
  const droplet = dropletOf(cloud, String(volume.dropletId));
  return cloud.beginOn(droplet, about(volume, "detach_volume"), async () => {
    await cloud.hypervisor.detachVolume(volume.id);
    volume.dropletId = null;
  });
}

function resize(cloud: Cloud, volume: Volume, gigabytes: number): Action {
  if (gigabytes <= volume.gigabytes) {
    throw unprocessable(`size_gigabytes must be greater than ${volume.gigabytes}`);
  }
  if (gigabytes > mostGigabytes) {
    throw unprocessable(`size_gigabytes must be at most ${mostGigabytes}`);
  }
  const work = async () => {
    await cloud.hypervisor.resizeVolume(volume.id, gigabytes);
    volume.gigabytes = gigabytes;
  };
  if (volume.dropletId === null) {
    return cloud.actions.begin({ ...about(volume, "resize"), region: volume.region }, work);
  }
  const droplet = dropletOf(cloud, String(volume.dropletId));
  return cloud.beginOn(droplet, about(volume, "resize"), work);
}
