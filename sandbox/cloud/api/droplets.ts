import { type Context, Hono } from "hono";
import type { z } from "zod";
import { body } from "./body.ts";
import { findImage, findSize } from "./catalogue.ts";
import type { Cloud } from "./cloud.ts";
import { dropletJson } from "./droplet-json.ts";
import { type DropletPlan, dropletRequest, planDroplets } from "./droplet-request.ts";
import { ApiError, notFound, reason } from "./errors.ts";
import { hasTag, isBehind } from "./firewall-rules.ts";
import { firewallJson } from "./firewalls.ts";
import { listed } from "./paging.ts";
import type { Action, Droplet, Volume } from "./state.ts";
import { useTags } from "./tags.ts";

export function dropletRoutes(cloud: Cloud): Hono {
  const routes = new Hono();
  const json = (droplet: Droplet) => dropletJson(cloud, droplet);
  const at = (c: Context) => dropletOf(cloud, c.req.param("id") ?? "");
  routes.get("/droplets", (c) => {
    const { tag_name: tag, name, type } = c.req.query();
    const found = cloud.state.droplets.filter(
      (one) => (!tag || hasTag(one, tag)) && (!name || one.name === name) && type !== "gpus",
    );
    return c.json(listed(c, "droplets", found, json));
  });
  routes.post("/droplets", async (c) => {
    const request = await body(c, dropletRequest);
    const created = await createDroplets(cloud, request, planDroplets(cloud, request));
    const links = { actions: created.map(({ action }) => actionLink(c, action)) };
    const droplets = created.map(({ droplet }) => json(droplet));
    return request.names
      ? c.json({ droplets, links }, 202)
      : c.json({ droplet: droplets[0], links }, 202);
  });
  routes.get("/droplets/:id", (c) => c.json({ droplet: json(at(c)) }));
  routes.delete("/droplets/:id", async (c) => {
    await deleteDroplet(cloud, at(c));
    return c.body(null, 204);
  });
  routes.delete("/droplets", async (c) => {
    const tag = c.req.query("tag_name");
    if (!tag) throw notFound();
    const tagged = cloud.state.droplets.filter((one) => hasTag(one, tag));
    await Promise.all(tagged.map((droplet) => deleteDroplet(cloud, droplet)));
    return c.body(null, 204);
  });
  for (const kind of ["kernels", "snapshots", "backups"]) {
    routes.get(`/droplets/:id/${kind}`, (c) => {
      at(c);
      return c.json(listed(c, kind, [], String));
    });
  }
  routes.get("/droplets/:id/neighbors", (c) => {
    at(c);
    return c.json({ droplets: [] });
  });
  routes.get("/droplets/:id/firewalls", (c) => {
    const droplet = at(c);
    const found = cloud.state.firewalls.filter((one) => isBehind(droplet, one));
    return c.json(listed(c, "firewalls", found, firewallJson));
  });
  return routes;
}

/** Throws DigitalOcean's 404. */
export function dropletOf(cloud: Cloud, id: string): Droplet {
  const droplet = cloud.state.droplets.find((one) => String(one.id) === id);
  if (!droplet) throw notFound();
  return droplet;
}

/** What the machine is started with, by what the account knows of it. */
export function guestSpec(droplet: Droplet) {
  const size = findSize(droplet.size);
  const image = findImage(droplet.imageId);
  if (!size || !image) {
    throw new Error(`droplet ${droplet.id} has a size or image that the catalogue lost`);
  }
  return {
    id: droplet.id,
    name: droplet.name,
    imageSlug: image.guestImage,
    userData: droplet.userData,
    sshKeys: droplet.sshKeys,
    ipv4: droplet.addresses.ipv4,
    ipv4Private: droplet.addresses.ipv4Private,
    ipv6: droplet.ipv6 ? droplet.addresses.ipv6 : null,
    memoryMiB: size.memoryMiB,
    vcpus: size.vcpus,
  };
}

/** A change of names or addresses shows in the reverse zones. */
export async function publishReverse(cloud: Cloud): Promise<void> {
  cloud.state.reverseSerial += 1;
  await cloud.publishZones();
}

async function createDroplets(
  cloud: Cloud,
  request: z.infer<typeof dropletRequest>,
  plan: DropletPlan,
): Promise<{ droplet: Droplet; action: Action }[]> {
  const tags = useTags(cloud, request.tags);
  const created = [];
  for (const name of plan.names) {
    const addresses = await cloud.hypervisor.allocateAddresses();
    const droplet: Droplet = {
      id: cloud.store.newId(),
      name,
      region: plan.region,
      size: plan.size.slug,
      disk: plan.size.diskGigabytes,
      imageId: plan.image.id,
      sshKeys: plan.sshKeys,
      userData: request.user_data,
      backups: request.backups,
      ipv6: request.ipv6,
      monitoring: request.monitoring,
      tags: [...tags],
      vpcUuid: plan.vpcUuid,
      status: "new",
      locked: false,
      made: false,
      createdAt: new Date().toISOString(),
      addresses,
      failure: null,
    };
    cloud.state.droplets.push(droplet);
    const action = cloud.beginOn(droplet, aboutDroplet(droplet, "create"), () =>
      bootNew(cloud, droplet, plan.volumes),
    );
    created.push({ droplet, action });
  }
  return created;
}

export function aboutDroplet(droplet: Droplet, type: string) {
  return {
    type,
    subject: `droplet:${droplet.id}`,
    resourceType: "droplet" as const,
    resourceId: droplet.id,
  };
}

/** A machine that can't be made ends `off`: clients that wait for `active` then stop at once. */
async function bootNew(cloud: Cloud, droplet: Droplet, volumes: Volume[]): Promise<void> {
  try {
    await publishReverse(cloud);
    await cloud.hypervisor.createGuest(guestSpec(droplet));
    droplet.made = true;
    for (const volume of volumes) {
      await cloud.hypervisor.attachVolume(volume.id, droplet.id);
      volume.dropletId = droplet.id;
    }
    droplet.status = "active";
    await cloud.applyFirewalls();
  } catch (error) {
    droplet.status = "off";
    droplet.failure = reason(error);
    throw error;
  }
}

/** Its volumes are detached and kept, its reserved addresses go to nobody. */
async function deleteDroplet(cloud: Cloud, droplet: Droplet): Promise<void> {
  const work = cloud.claim(droplet, async () => {
    await pullPlug(cloud, droplet);
    await letGo(cloud, droplet);
    await cloud.hypervisor.destroyGuest(droplet.id);
    cloud.forgetRules(droplet.id);
    cloud.state.droplets = cloud.state.droplets.filter((one) => one !== droplet);
    for (const firewall of cloud.state.firewalls) {
      firewall.dropletIds = firewall.dropletIds.filter((id) => id !== droplet.id);
    }
    await Promise.all([publishReverse(cloud), cloud.applyFirewalls()]);
  });
  try {
    await work();
  } catch (error) {
    if (error instanceof ApiError) throw error;
    droplet.failure = reason(error);
    throw new Error(`droplet ${droplet.id} can't be destroyed: ${reason(error)}`, { cause: error });
  }
}

/**
 * So that no file system in use keeps a volume from being detached. The guest may be gone already,
 * by an earlier try; whatever else is wrong, destroying it will tell.
 */
async function pullPlug(cloud: Cloud, droplet: Droplet): Promise<void> {
  if (!droplet.made) return;
  await cloud.hypervisor
    .powerOff(droplet.id, "hard")
    .catch((error: unknown) => cloud.log(`droplet ${droplet.id}: ${reason(error)}`));
}

async function letGo(cloud: Cloud, droplet: Droplet): Promise<void> {
  for (const volume of cloud.state.volumes.filter((one) => one.dropletId === droplet.id)) {
    await cloud.hypervisor.detachVolume(volume.id);
    volume.dropletId = null;
  }
  for (const reserved of cloud.state.reservedIps.filter((one) => one.dropletId === droplet.id)) {
    await cloud.hypervisor.assignReservedIp(reserved.ip, null);
    reserved.dropletId = null;
  }
}

function actionLink(c: Context, action: Action) {
  return {
    id: action.id,
    rel: action.type,
    href: new URL(`/v2/actions/${action.id}`, c.req.url).href,
  };
}
