import { Hono } from "hono";
import { z } from "zod";
import { body } from "./body.ts";
import type { Cloud } from "./cloud.ts";
import { notFound, unprocessable } from "./errors.ts";
import { hasTag, sameTag } from "./firewall-rules.ts";
import { listed } from "./paging.ts";

type Tagged = { tags: string[] };

export function tagRoutes(cloud: Cloud): Hono {
  const routes = new Hono();
  const json = (name: string) => tagJson(cloud, name);
  routes.get("/tags", (c) => c.json(listed(c, "tags", cloud.state.tags, json)));
  routes.post("/tags", async (c) => {
    const [name] = useTags(cloud, [(await body(c, z.object({ name: z.string() }))).name]);
    return c.json({ tag: json(name ?? "") }, 201);
  });
  routes.get("/tags/:name", (c) => c.json({ tag: json(tagOf(cloud, c.req.param("name"))) }));
  routes.delete("/tags/:name", async (c) => {
    const name = tagOf(cloud, c.req.param("name"));
    cloud.state.tags = cloud.state.tags.filter((one) => one !== name);
    const { droplets, volumes, firewalls } = cloud.state;
    for (const object of [...droplets, ...volumes, ...firewalls]) untag(object, name);
    await cloud.applyFirewalls();
    return c.body(null, 204);
  });
  routes.post("/tags/:name/resources", async (c) => {
    const name = tagOf(cloud, c.req.param("name"));
    for (const object of resources(cloud, await body(c, resourcesRequest))) {
      if (!hasTag(object, name)) object.tags.push(name);
    }
    await cloud.applyFirewalls();
    return c.body(null, 204);
  });
  routes.delete("/tags/:name/resources", async (c) => {
    const name = tagOf(cloud, c.req.param("name"));
    for (const object of resources(cloud, await body(c, resourcesRequest))) {
      untag(object, name);
    }
    await cloud.applyFirewalls();
    return c.body(null, 204);
  });
  return routes;
}

/** The tags in the spelling that the account knows them by; those that it has not are made. */
export function useTags(cloud: Cloud, names: string[]): string[] {
  for (const name of names) {
    if (/^[a-zA-Z0-9:_-]{1,255}$/.test(name)) continue;
    throw unprocessable(
      `Tag "${name}" is invalid: tags may contain letters, numbers, colons, dashes, and underscores, at most 255.`,
    );
  }
  const used = names.map((name) => {
    const known = cloud.state.tags.find((tag) => sameTag(tag, name));
    if (known === undefined) cloud.state.tags.push(name);
    return known ?? name;
  });
  return [...new Set(used)];
}

const resourcesRequest = z.object({
  resources: z.array(
    z.object({
      resource_id: z.union([z.string(), z.number()]).transform(String),
      resource_type: z.string(),
    }),
  ),
});

function resources(cloud: Cloud, request: z.infer<typeof resourcesRequest>): Tagged[] {
  return request.resources.map(({ resource_id: id, resource_type: type }) => {
    const found =
      type === "droplet"
        ? cloud.state.droplets.find((one) => String(one.id) === id)
        : type === "volume"
          ? cloud.state.volumes.find((one) => one.id === id)
          : undefined;
    if (!found) throw notFound();
    return found;
  });
}

function untag(object: Tagged, name: string): void {
  object.tags = object.tags.filter((tag) => !sameTag(tag, name));
}

function tagOf(cloud: Cloud, name: string): string {
  const tag = cloud.state.tags.find((one) => sameTag(one, name));
  if (tag === undefined) throw notFound();
  return tag;
}

function tagJson(cloud: Cloud, name: string) {
  const droplets = cloud.state.droplets.filter((one) => hasTag(one, name)).length;
  const volumes = cloud.state.volumes.filter((one) => hasTag(one, name)).length;
  const none = { count: 0 };
  return {
    name,
    resources: {
      count: droplets + volumes,
      droplets: { count: droplets },
      volumes: { count: volumes },
      images: none,
      volume_snapshots: none,
      databases: none,
    },
  };
}
