import { randomUUID } from "node:crypto";
import { Hono } from "hono";
import type { Cloud } from "./cloud.ts";
import { notFound } from "./errors.ts";
import { listed } from "./paging.ts";

/** The uuid of the region's default VPC, the only one that a region has here. */
export function defaultVpc(cloud: Cloud, region: string): string {
  const uuid = cloud.state.vpcs[region] ?? randomUUID();
  cloud.state.vpcs[region] = uuid;
  return uuid;
}

export function vpcRoutes(cloud: Cloud): Hono {
  const routes = new Hono();
  const all = () => Object.entries(cloud.state.vpcs);
  const json = ([region, uuid]: [string, string]) => ({
    id: uuid,
    urn: `do:vpc:${uuid}`,
    name: `default-${region}`,
    description: "",
    region,
    ip_range: "10.0.0.0/8",
    created_at: cloud.state.createdAt,
    default: true,
  });
  const one = (id: string) => {
    const found = all().find(([, uuid]) => uuid === id);
    if (!found) throw notFound();
    return found;
  };
  routes.get("/vpcs", (c) => c.json(listed(c, "vpcs", all(), json)));
  routes.get("/vpcs/:id", (c) => c.json({ vpc: json(one(c.req.param("id"))) }));
  routes.get("/vpcs/:id/members", (c) => {
    const [, uuid] = one(c.req.param("id"));
    const members = cloud.state.droplets.filter((droplet) => droplet.vpcUuid === uuid);
    return c.json(
      listed(c, "members", members, (droplet) => ({
        urn: `do:droplet:${droplet.id}`,
        name: droplet.name,
        created_at: droplet.createdAt,
      })),
    );
  });
  return routes;
}
