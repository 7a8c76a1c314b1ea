import { Hono } from "hono";
import type { Cloud } from "./cloud.ts";
import { notFound } from "./errors.ts";
import { listed } from "./paging.ts";

/** The default project, which everything in the account belongs to; there are no others. */
export function projectRoutes(cloud: Cloud): Hono {
  const routes = new Hono();
  const check = (id: string) => {
    if (id !== "default" && id !== cloud.state.projectId) throw notFound();
  };
  routes.get("/projects", (c) => c.json(listed(c, "projects", [cloud], projectJson)));
  routes.get("/projects/:id", (c) => {
    check(c.req.param("id"));
    return c.json({ project: projectJson(cloud) });
  });
  routes.get("/projects/:id/resources", (c) => {
    check(c.req.param("id"));
    return c.json(listed(c, "resources", urns(cloud), (urn) => ({ urn, status: "ok" })));
  });
  return routes;
}

function urns(cloud: Cloud): string[] {
  const { droplets, domains, volumes, reservedIps } = cloud.state;
  return [
    ...droplets.map((one) => `do:droplet:${one.id}`),
    ...domains.map((one) => `do:domain:${one.name}`),
    ...volumes.map((one) => `do:volume:${one.id}`),
    ...reservedIps.map((one) => `do:reservedip:${one.ip}`),
  ];
}

function projectJson(cloud: Cloud) {
  return {
    id: cloud.state.projectId,
    owner_uuid: cloud.state.accountUuid,
    owner_id: 1,
    name: "sandbox",
    description: "",
    purpose: "Just trying out DigitalOcean",
    environment: "Development",
    is_default: true,
    created_at: cloud.state.createdAt,
    updated_at: cloud.state.createdAt,
  };
}
