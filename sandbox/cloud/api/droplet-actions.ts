import { Hono } from "hono";
import { z } from "zod";
import { actionJson, actionOf, actionsOf } from "./actions.ts";
import { body } from "./body.ts";
import { findImage, findSize, type Size } from "./catalogue.ts";
import type { Cloud } from "./cloud.ts";
import { checkName } from "./droplet-request.ts";
import { aboutDroplet, dropletOf, publishReverse } from "./droplets.ts";
import { reason, unprocessable } from "./errors.ts";
import { hasTag } from "./firewall-rules.ts";
import { listed } from "./paging.ts";
import type { Action, Droplet } from "./state.ts";

const actionRequest = z.object({
  type: z.string(),
  name: z.string().nullish(),
  size: z.string().nullish(),
  disk: z.boolean().nullish(),
  image: z.union([z.string(), z.number()]).nullish(),
});
type ActionRequest = z.infer<typeof actionRequest>;

export function dropletActionRoutes(cloud: Cloud): Hono {
  const routes = new Hono();
  routes.post("/droplets/actions", async (c) => {
    const tag = c.req.query("tag_name") ?? "";
    const request = await body(c, actionRequest);
    const tagged = cloud.state.droplets.filter((one) => hasTag(one, tag));
    const actions = tagged.map((droplet) => begin(cloud, droplet, request));
    return c.json({ actions: actions.map(actionJson) }, 201);
  });
  routes.post("/droplets/:id/actions", async (c) => {
    const droplet = dropletOf(cloud, c.req.param("id"));
    return c.json({ action: actionJson(begin(cloud, droplet, await body(c, actionRequest))) }, 201);
  });
  routes.get("/droplets/:id/actions", (c) => {
    const { id } = dropletOf(cloud, c.req.param("id"));
    return c.json(listed(c, "actions", actionsOf(cloud, `droplet:${id}`), actionJson));
  });
  routes.get("/droplets/:id/actions/:action", (c) => {
    const { id } = dropletOf(cloud, c.req.param("id"));
    return c.json({ action: actionJson(actionOf(cloud, `droplet:${id}`, c.req.param("action"))) });
  });
  return routes;
}

function begin(cloud: Cloud, droplet: Droplet, request: ActionRequest): Action {
  const work = prepare(cloud, droplet, request);
  return cloud.beginOn(droplet, aboutDroplet(droplet, request.type), async () => {
    try {
      await work();
      droplet.failure = null;
    } catch (error) {
      droplet.failure = reason(error);
      throw error;
    }
  });
}

/** The work behind an action; throws DigitalOcean's 422 where it can't be begun. */
function prepare(cloud: Cloud, droplet: Droplet, request: ActionRequest): () => Promise<void> {
  switch (request.type) {
    case "power_on":
      if (droplet.status === "active") throw unprocessable("Droplet is already powered on.");
      return () => powerOn(cloud, droplet);
    case "power_off":
      if (droplet.status === "off") throw unprocessable("Droplet is already powered off.");
      return () => powerOff(cloud, droplet, "hard");
    case "shutdown":
      return () => powerOff(cloud, droplet, "graceful");
    case "reboot":
      return () => restart(cloud, droplet, "graceful");
    case "power_cycle":
      return () => restart(cloud, droplet, "hard");
    case "resize":
      return prepareResize(droplet, request);
    case "rebuild":
      return prepareRebuild(cloud, droplet, request);
    case "rename":
      return prepareRename(cloud, droplet, request.name ?? "");
    case "enable_ipv6":
      return () => enableIpv6(cloud, droplet);
    case "enable_backups":
    case "change_backup_policy":
      return async () => {
        droplet.backups = true;
      };
    case "disable_backups":
      return async () => {
        droplet.backups = false;
      };
    case "enable_private_networking":
      throw unprocessable("Droplet already has private networking enabled.");
    default:
      throw unprocessable(`The sandbox's droplets have no action '${request.type}'.`);
  }
}

async function powerOn(cloud: Cloud, droplet: Droplet): Promise<void> {
  await cloud.hypervisor.powerOn(droplet.id);
  droplet.status = "active";
  await cloud.applyFirewalls();
}

async function powerOff(cloud: Cloud, droplet: Droplet, how: "graceful" | "hard"): Promise<void> {
  await cloud.hypervisor.powerOff(droplet.id, how);
  droplet.status = "off";
}

async function restart(cloud: Cloud, droplet: Droplet, how: "graceful" | "hard"): Promise<void> {
  await powerOff(cloud, droplet, how);
  await powerOn(cloud, droplet);
}

function prepareResize(droplet: Droplet, request: ActionRequest): () => Promise<void> {
  const size = findSize(request.size ?? "");
  if (!size) throw unprocessable("You specified an invalid size for Droplet resize.");
  if (droplet.status !== "off") throw unprocessable("Droplet must be powered off to be resized.");
  if (size.slug === droplet.size && !growsDisk(droplet, size, request)) {
    throw unprocessable("Droplet is already this size.");
  }
  if (size.diskGigabytes < droplet.disk) {
    throw unprocessable("This size is not available because it has a smaller disk.");
  }
  return async () => {
    droplet.size = size.slug;
    if (request.disk) droplet.disk = size.diskGigabytes;
  };
}

function growsDisk(droplet: Droplet, size: Size, request: ActionRequest): boolean {
  return request.disk === true && size.diskGigabytes > droplet.disk;
}

function prepareRebuild(
  cloud: Cloud,
  droplet: Droplet,
  request: ActionRequest,
): () => Promise<void> {
  const image = findImage(request.image ?? "");
  if (!image) throw unprocessable("You specified an invalid image for Droplet rebuild.");
  return async () => {
    await cloud.hypervisor.rebuildGuest(droplet.id, image.guestImage);
    droplet.imageId = image.id;
    droplet.status = "active";
    cloud.forgetRules(droplet.id);
    await cloud.applyFirewalls();
  };
}

function prepareRename(cloud: Cloud, droplet: Droplet, name: string): () => Promise<void> {
  checkName(name);
  return async () => {
    droplet.name = name;
    await publishReverse(cloud);
  };
}

async function enableIpv6(cloud: Cloud, droplet: Droplet): Promise<void> {
  droplet.ipv6 = true;
  await Promise.all([publishReverse(cloud), cloud.applyFirewalls()]);
}
