import { type Context, Hono } from "hono";
import { z } from "zod";
import { actionJson, actionOf, actionsOf } from "./actions.ts";
import { body, maybeText } from "./body.ts";
import { isRegion, regionOf } from "./catalogue.ts";
import type { Cloud } from "./cloud.ts";
import { dropletJson } from "./droplet-json.ts";
import { dropletOf } from "./droplets.ts";
import { notFound, unprocessable } from "./errors.ts";
import { listed } from "./paging.ts";
import type { Action, Droplet, ReservedIp } from "./state.ts";

const createRequest = z.object({ region: maybeText, droplet_id: z.int().nullish() });
const actionRequest = z.object({ type: z.string(), droplet_id: z.int().nullish() });

export function reservedIpRoutes(cloud: Cloud): Hono {
  const routes = new Hono();
  const json = (reserved: ReservedIp) => reservedIpJson(cloud, reserved);
  const at = (c: Context) => reservedIpOf(cloud, c.req.param("ip") ?? "");
  routes.get("/reserved_ips", (c) =>
    c.json(listed(c, "reserved_ips", cloud.state.reservedIps, json)),
  );
  routes.post("/reserved_ips", async (c) => {
    const reserved = await reserve(cloud, await body(c, createRequest));
    return c.json({ reserved_ip: json(reserved), links: {} }, 202);
  });
  routes.get("/reserved_ips/:ip", (c) => c.json({ reserved_ip: json(at(c)) }));
  routes.delete("/reserved_ips/:ip", async (c) => {
    const reserved = at(c);
    if (reserved.locked) throw unprocessable("The reserved IP already has a pending event.");
    if (reserved.dropletId !== null) await cloud.hypervisor.assignReservedIp(reserved.ip, null);
    cloud.state.reservedIps = cloud.state.reservedIps.filter((one) => one !== reserved);
    return c.body(null, 204);
  });
  routes.post("/reserved_ips/:ip/actions", async (c) => {
    const reserved = at(c);
    const request = await body(c, actionRequest);
    return c.json({ action: actionJson(begin(cloud, reserved, request)) }, 201);
  });
  routes.get("/reserved_ips/:ip/actions", (c) =>
    c.json(listed(c, "actions", actionsOf(cloud, `reserved_ip:${at(c).ip}`), actionJson)),
  );
  routes.get("/reserved_ips/:ip/actions/:action", (c) => {
    const action = actionOf(cloud, `reserved_ip:${at(c).ip}`, c.req.param("action"));
    return c.json({ action: actionJson(action) });
  });
  return routes;
}

function reservedIpOf(cloud: Cloud, ip: string): ReservedIp {
  const reserved = cloud.state.reservedIps.find((one) => one.ip === ip);
  if (!reserved) throw notFound();
  return reserved;
}

/** In a region, or for a droplet at once. */
async function reserve(cloud: Cloud, request: z.infer<typeof createRequest>): Promise<ReservedIp> {
  const droplet = request.droplet_id ? dropletOf(cloud, String(request.droplet_id)) : null;
  const region = droplet?.region ?? request.region.toLowerCase();
  if (!isRegion(region)) throw unprocessable("Region is invalid");
  const ip = await cloud.hypervisor.allocateReservedIp();
  const reserved: ReservedIp = { ip, region, dropletId: null, locked: false };
  cloud.state.reservedIps.push(reserved);
  if (droplet) assign(cloud, reserved, droplet);
  return reserved;
}

function begin(cloud: Cloud, reserved: ReservedIp, request: z.infer<typeof actionRequest>): Action {
  if (reserved.locked) throw unprocessable("The reserved IP already has a pending event.");
  switch (request.type) {
    case "assign":
      return assign(cloud, reserved, dropletOf(cloud, String(request.droplet_id)));
    case "unassign":
      if (reserved.dropletId === null) {
        throw unprocessable("The reserved IP is not assigned to a Droplet.");
      }
      return move(cloud, reserved, null);
    default:
      throw unprocessable(`The sandbox's reserved IPs have no action '${request.type}'.`);
  }
}

function assign(cloud: Cloud, reserved: ReservedIp, droplet: Droplet): Action {
  if (droplet.region !== reserved.region) {
    throw unprocessable("The reserved IP and the Droplet must be in the same region.");
  }
  if (droplet.locked) throw unprocessable("Droplet already has a pending event.");
  return move(cloud, reserved, droplet.id);
}

function move(cloud: Cloud, reserved: ReservedIp, dropletId: number | null): Action {
  reserved.locked = true;
  const about = {
    type: dropletId === null ? "unassign_ip" : "assign_ip",
    subject: `reserved_ip:${reserved.ip}`,
    resourceType: "reserved_ip" as const,
    resourceId: asNumber(reserved.ip),
    region: reserved.region,
  };
  return cloud.actions.begin(about, async () => {
    try {
      await cloud.hypervisor.assignReservedIp(reserved.ip, dropletId);
      reserved.dropletId = dropletId;
    } finally {
      reserved.locked = false;
    }
  });
}

/** DigitalOcean numbers these by the address itself. */
function asNumber(ip: string): number {
  return ip.split(".").reduce((sum, part) => sum * 256 + Number(part), 0);
}

function reservedIpJson(cloud: Cloud, reserved: ReservedIp) {
  const droplet = cloud.state.droplets.find((one) => one.id === reserved.dropletId);
  return {
    ip: reserved.ip,
    droplet: droplet ? dropletJson(cloud, droplet) : null,
    region: regionOf(reserved.region),
    locked: reserved.locked,
    project_id: cloud.state.projectId,
  };
}
