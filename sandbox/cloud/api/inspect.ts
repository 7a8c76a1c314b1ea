import { Hono } from "hono";
import { z } from "zod";
import { body } from "./body.ts";
import { findImage } from "./catalogue.ts";
import type { Cloud } from "./cloud.ts";
import type { RateLimiter } from "./manners.ts";
import { zonesOf } from "./zones.ts";

const limitRequest = z.object({
  requests: z.int().min(0),
  windowSeconds: z.number().positive(),
});

/** What the command line and the tests ask, beside DigitalOcean's API, under `/sandbox`. */
export function inspectRoutes(cloud: Cloud, limiter: RateLimiter): Hono {
  const routes = new Hono();
  routes.get("/status", (c) => c.json(status(cloud)));
  routes.put("/rate-limit", async (c) => {
    limiter.set(await body(c, limitRequest));
    return c.body(null, 204);
  });
  return routes;
}

/** `status`'s answer: everything that runs, without secrets. */
export const statusSchema = z.object({
  pid: z.int(),
  droplets: z.array(
    z.object({
      id: z.int(),
      name: z.string(),
      status: z.string(),
      locked: z.boolean(),
      region: z.string(),
      size: z.string(),
      image: z.string(),
      tags: z.array(z.string()),
      ipv4: z.string(),
      ipv4Private: z.string(),
      ipv6: z.string().nullable(),
      failure: z.string().nullable(),
    }),
  ),
  volumes: z.array(
    z.object({
      id: z.string(),
      name: z.string(),
      gigabytes: z.int(),
      dropletId: z.int().nullable(),
    }),
  ),
  reservedIps: z.array(z.object({ ip: z.string(), dropletId: z.int().nullable() })),
  firewalls: z.array(z.object({ id: z.string(), name: z.string(), status: z.string() })),
  zones: z.array(
    z.object({
      name: z.string(),
      records: z.array(
        z.object({ name: z.string(), type: z.string(), ttl: z.int(), data: z.string() }),
      ),
    }),
  ),
});
export type CloudStatus = z.infer<typeof statusSchema>;

function status(cloud: Cloud): CloudStatus {
  const { droplets, volumes, reservedIps, firewalls } = cloud.state;
  return {
    pid: process.pid,
    droplets: droplets.map(
      ({ id, name, status, locked, region, size, imageId, tags, addresses, ipv6, failure }) => ({
        id,
        name,
        status,
        locked,
        region,
        size,
        image: findImage(imageId)?.slug ?? String(imageId),
        tags,
        ipv4: addresses.ipv4,
        ipv4Private: addresses.ipv4Private,
        ipv6: ipv6 ? addresses.ipv6 : null,
        failure,
      }),
    ),
    volumes: volumes.map(({ id, name, gigabytes, dropletId }) => ({
      id,
      name,
      gigabytes,
      dropletId,
    })),
    reservedIps: reservedIps.map(({ ip, dropletId }) => ({ ip, dropletId })),
    firewalls: firewalls.map(({ id, name, status }) => ({ id, name, status })),
    zones: zonesOf(cloud.state),
  };
}
