import { randomUUID } from "node:crypto";
import { isIP } from "node:net";
import { type Context, Hono } from "hono";
import { z } from "zod";
import { body, list, maybeText } from "./body.ts";
import type { Cloud } from "./cloud.ts";
import { conflict, notFound, unprocessable } from "./errors.ts";
import { sameTag } from "./firewall-rules.ts";
import { listed } from "./paging.ts";
import type { Firewall, Peers, Rule } from "./state.ts";

const peersRequest = z.object({
  addresses: list(z.string()),
  tags: list(z.string()),
  droplet_ids: list(z.int()),
  load_balancer_uids: list(z.string()),
  kubernetes_ids: list(z.string()),
});
const protocol = z.enum(["tcp", "udp", "icmp"], {
  error: "must be one of tcp, udp, or icmp",
});
const inboundRequest = z.object({ protocol, ports: maybeText, sources: peersRequest });
const outboundRequest = z.object({ protocol, ports: maybeText, destinations: peersRequest });
const rulesRequest = z.object({
  inbound_rules: list(inboundRequest),
  outbound_rules: list(outboundRequest),
});
const firewallRequest = rulesRequest.extend({
  name: z.string(),
  droplet_ids: list(z.int()),
  tags: list(z.string()),
});
const dropletsRequest = z.object({ droplet_ids: z.array(z.int()) });
const tagsRequest = z.object({ tags: z.array(z.string()) });

export function firewallRoutes(cloud: Cloud): Hono {
  const routes = new Hono();
  const at = (c: Context) => firewallOf(cloud, c.req.param("id") ?? "");
  routes.get("/firewalls", (c) =>
    c.json(listed(c, "firewalls", cloud.state.firewalls, firewallJson)),
  );
  routes.post("/firewalls", async (c) => {
    const wanted = checked(cloud, await body(c, firewallRequest), null);
    const firewall: Firewall = {
      id: randomUUID(),
      createdAt: new Date().toISOString(),
      status: "waiting",
      pending: pending(wanted.dropletIds, false),
      ...wanted,
    };
    cloud.state.firewalls.push(firewall);
    return c.json({ firewall: answerThenApply(cloud, firewall) }, 202);
  });
  routes.get("/firewalls/:id", (c) => c.json({ firewall: firewallJson(at(c)) }));
  routes.put("/firewalls/:id", async (c) => {
    const firewall = at(c);
    const wanted = checked(cloud, await body(c, firewallRequest), firewall);
    const gone = firewall.dropletIds.filter((id) => !wanted.dropletIds.includes(id));
    Object.assign(firewall, wanted);
    mark(firewall, [...pending(wanted.dropletIds, false), ...pending(gone, true)]);
    return c.json({ firewall: answerThenApply(cloud, firewall) });
  });
  routes.delete("/firewalls/:id", async (c) => {
    const firewall = at(c);
    cloud.state.firewalls = cloud.state.firewalls.filter((one) => one !== firewall);
    await cloud.applyFirewalls();
    return c.body(null, 204);
  });
  routes.on(["POST", "DELETE"], "/firewalls/:id/:part", async (c) => {
    const firewall = at(c);
    await changePart(cloud, firewall, c.req.param("part"), c.req.method === "POST", c);
    await cloud.applyFirewalls();
    return c.body(null, 204);
  });
  return routes;
}

export function firewallJson(firewall: Firewall) {
  return {
    id: firewall.id,
    name: firewall.name,
    status: firewall.status,
    created_at: firewall.createdAt,
    pending_changes: firewall.pending.map(({ dropletId, removing }) => ({
      droplet_id: dropletId,
      removing,
      status: "waiting",
    })),
    inbound_rules: firewall.inbound.map((rule) => ({
      ...ruleHead(rule),
      sources: peersJson(rule.peers),
    })),
    outbound_rules: firewall.outbound.map((rule) => ({
      ...ruleHead(rule),
      destinations: peersJson(rule.peers),
    })),
    droplet_ids: firewall.dropletIds,
    tags: firewall.tags,
  };
}

function ruleHead({ protocol, ports }: Rule) {
  return { protocol, ports };
}

function peersJson({ addresses, tags, dropletIds }: Peers) {
  return {
    ...(addresses.length > 0 ? { addresses } : {}),
    ...(tags.length > 0 ? { tags } : {}),
    ...(dropletIds.length > 0 ? { droplet_ids: dropletIds } : {}),
  };
}

/** As at DigitalOcean the answer comes before the rules are in force: status `waiting`. */
function answerThenApply(cloud: Cloud, firewall: Firewall) {
  const answer = firewallJson(firewall);
  cloud.applyFirewalls().catch((error: unknown) => cloud.log(`firewalls: ${error}`));
  return answer;
}

function firewallOf(cloud: Cloud, id: string): Firewall {
  const firewall = cloud.state.firewalls.find((one) => one.id === id);
  if (!firewall) throw notFound("could not find firewall");
  return firewall;
}

type Wanted = Pick<Firewall, "name" | "inbound" | "outbound" | "dropletIds" | "tags">;

function checked(
  cloud: Cloud,
  request: z.infer<typeof firewallRequest>,
  self: Firewall | null,
): Wanted {
  if (!/^[a-zA-Z0-9][a-zA-Z0-9.-]{0,254}$/.test(request.name)) {
    throw unprocessable("name: may only contain alphanumeric characters, periods and dashes");
  }
  if (cloud.state.firewalls.some((one) => one !== self && one.name === request.name)) {
    throw conflict("duplicate name");
  }
  const rules = rulesOf(cloud, request);
  if (rules.inbound.length + rules.outbound.length === 0) {
    throw unprocessable("must have at least one rule");
  }
  checkDroplets(cloud, request.droplet_ids);
  checkTags(cloud, request.tags);
  return {
    name: request.name,
    ...rules,
    dropletIds: [...new Set(request.droplet_ids)],
    tags: [...new Set(request.tags)],
  };
}

function rulesOf(cloud: Cloud, request: z.infer<typeof rulesRequest>) {
  return {
    inbound: request.inbound_rules.map((rule) => ruleOf(cloud, rule, rule.sources)),
    outbound: request.outbound_rules.map((rule) => ruleOf(cloud, rule, rule.destinations)),
  };
}

function ruleOf(
  cloud: Cloud,
  { protocol, ports }: { protocol: Rule["protocol"]; ports: string },
  peers: z.infer<typeof peersRequest>,
): Rule {
  if (peers.load_balancer_uids.length + peers.kubernetes_ids.length > 0) {
    throw unprocessable("The sandbox has no load balancers and no Kubernetes clusters.");
  }
  for (const address of peers.addresses) checkAddress(address);
  checkDroplets(cloud, peers.droplet_ids);
  checkTags(cloud, peers.tags);
  const { addresses, tags, droplet_ids: dropletIds } = peers;
  return { protocol, ports: portsOf(protocol, ports), peers: { addresses, tags, dropletIds } };
}

/** In DigitalOcean's answers "0" is all ports, and what ICMP has in their place. */
function portsOf(protocol: Rule["protocol"], ports: string): string {
  if (protocol === "icmp" || ports === "all" || ports === "0") return "0";
  const match = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(ports);
  const first = Number(match?.[1]);
  const last = Number(match?.[2] ?? match?.[1]);
  if (!match || first < 1 || last > 65535 || first > last) {
    throw unprocessable(`ports: '${ports}' is neither a port, a range such as 8000-9000, nor all`);
  }
  return ports;
}

function checkAddress(address: string): void {
  const [host = "", bits, more] = address.split("/");
  const version = isIP(host);
  const longest = version === 4 ? 32 : 128;
  const fits = bits === undefined || (/^\d{1,3}$/.test(bits) && Number(bits) <= longest);
  if (version === 0 || !fits || more !== undefined) {
    throw unprocessable(`addresses: '${address}' is neither an address nor a CIDR`);
  }
}

function checkDroplets(cloud: Cloud, ids: number[]): void {
  const unknown = ids.filter((id) => !cloud.state.droplets.some((one) => one.id === id));
  if (unknown.length > 0) throw unprocessable(`droplet ${unknown.join(", ")} not found`);
}

function checkTags(cloud: Cloud, tags: string[]): void {
  const unknown = tags.filter((tag) => !cloud.state.tags.some((one) => sameTag(one, tag)));
  if (unknown.length > 0) throw unprocessable(`tag ${unknown.join(", ")} does not exist`);
}

function pending(dropletIds: number[], removing: boolean): Firewall["pending"] {
  return dropletIds.map((dropletId) => ({ dropletId, removing }));
}

function mark(firewall: Firewall, changes: Firewall["pending"]): void {
  firewall.pending = [...firewall.pending, ...changes];
  firewall.status = "waiting";
}

async function changePart(
  cloud: Cloud,
  firewall: Firewall,
  part: string,
  add: boolean,
  c: Context,
): Promise<void> {
  if (part === "droplets") {
    const { droplet_ids: ids } = await body(c, dropletsRequest);
    if (add) checkDroplets(cloud, ids);
    firewall.dropletIds = merged(firewall.dropletIds, ids, add, (one, other) => one === other);
    mark(firewall, pending(ids, !add));
  } else if (part === "tags") {
    const { tags } = await body(c, tagsRequest);
    if (add) checkTags(cloud, tags);
    firewall.tags = merged(firewall.tags, tags, add, sameTag);
  } else if (part === "rules") {
    const rules = rulesOf(cloud, await body(c, rulesRequest));
    firewall.inbound = merged(firewall.inbound, rules.inbound, add, sameRule);
    firewall.outbound = merged(firewall.outbound, rules.outbound, add, sameRule);
  } else {
    throw notFound();
  }
}

function merged<T>(old: T[], given: T[], add: boolean, same: (one: T, other: T) => boolean): T[] {
  const kept = old.filter((one) => !given.some((other) => same(one, other)));
  return add ? [...kept, ...given] : kept;
}

function sameRule(one: Rule, other: Rule): boolean {
  return JSON.stringify(one) === JSON.stringify(other);
}
