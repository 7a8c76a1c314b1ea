import type { Attribute, BridgedResource, Properties, Value } from "../kit.ts";
import { isObject } from "../kit.ts";
import { notEmpty, numbers, oneOf, step, tags, text, texts, tolerateGone } from "./rules.ts";
import type { Connect } from "./settings.ts";
import type { Endpoints, Firewall } from "./shapes.ts";

const protocol = oneOf("tcp", "udp", "icmp");

const rules: Attribute = {
  set: true,
  validate: (value) =>
    rulesOf(value)
      .map((rule) => (typeof rule.protocol === "string" ? protocol(rule.protocol) : undefined))
      .find((reason) => reason !== undefined),
};

const rulesOf = (value: Value | undefined): Properties[] =>
  Array.isArray(value) ? value.filter(isObject) : [];

/** Lists are left out where they are empty, as the Go client does. */
function endpointsOf(rule: Properties, prefix: "source" | "destination") {
  const filled = <Item>(list: Item[]) => (list.length === 0 ? undefined : list);
  return {
    addresses: filled(texts(rule[`${prefix}Addresses`])),
    tags: filled(texts(rule[`${prefix}Tags`])),
    droplet_ids: filled(numbers(rule[`${prefix}DropletIds`])),
    load_balancer_uids: filled(texts(rule[`${prefix}LoadBalancerUids`])),
    kubernetes_ids: filled(texts(rule[`${prefix}KubernetesIds`])),
  };
}

const ruleOf = (rule: Properties) => ({
  protocol: rule.protocol,
  ports: text(rule.portRange) || undefined,
  action: text(rule.action) || undefined,
});

/** Absent lists are `null`, as the Go client sends them. */
const requestOf = (inputs: Properties) => ({
  name: inputs.name,
  inbound_rules: orNull(
    rulesOf(inputs.inboundRules).map((rule) => ({
      ...ruleOf(rule),
      sources: endpointsOf(rule, "source"),
    })),
  ),
  outbound_rules: orNull(
    rulesOf(inputs.outboundRules).map((rule) => ({
      ...ruleOf(rule),
      destinations: endpointsOf(rule, "destination"),
    })),
  ),
  droplet_ids: orNull(numbers(inputs.dropletIds)),
  tags: texts(inputs.tags),
});

const orNull = <Item>(list: Item[]): Item[] | null => (list.length === 0 ? null : list);

/** The API writes "0" for all ports and for the ports that ICMP does not have. */
function portRange(rule: { protocol: string; ports: string }): Properties {
  if (rule.ports !== "0") return { portRange: rule.ports };
  return rule.protocol === "icmp" ? {} : { portRange: "all" };
}

/** "allow" is what a rule without an action means. */
const action = (value: string | null | undefined): Properties =>
  value === undefined || value === null || value === "allow" ? {} : { action: value };

function endpoints(found: Endpoints, prefix: "source" | "destination"): Properties {
  return {
    [`${prefix}Addresses`]: found?.addresses ?? [],
    [`${prefix}Tags`]: found?.tags ?? [],
    [`${prefix}DropletIds`]: found?.droplet_ids ?? [],
    [`${prefix}LoadBalancerUids`]: found?.load_balancer_uids ?? [],
    [`${prefix}KubernetesIds`]: found?.kubernetes_ids ?? [],
  };
}

const outputsOf = (firewall: Firewall): Properties => ({
  name: firewall.name,
  status: firewall.status,
  createdAt: firewall.created_at,
  dropletIds: firewall.droplet_ids,
  tags: firewall.tags,
  inboundRules: firewall.inbound_rules.map((rule) => ({
    protocol: rule.protocol,
    ...portRange(rule),
    ...action(rule.action),
    ...endpoints(rule.sources, "source"),
  })),
  outboundRules: firewall.outbound_rules.map((rule) => ({
    protocol: rule.protocol,
    ...portRange(rule),
    ...action(rule.action),
    ...endpoints(rule.destinations, "destination"),
  })),
  pendingChanges: firewall.pending_changes.map((change) => ({
    dropletId: change.droplet_id,
    removing: change.removing,
    status: change.status,
  })),
});

function checkRules(inputs: Properties): void {
  const isAbsent = (value: Value | undefined) =>
    value === undefined || value === null || (Array.isArray(value) && value.length === 0);
  if (isAbsent(inputs.inboundRules) && isAbsent(inputs.outboundRules)) {
    throw new Error("At least one rule must be specified");
  }
  checkPorts("inbound", rulesOf(inputs.inboundRules));
  checkPorts("outbound", rulesOf(inputs.outboundRules));
}

function checkPorts(direction: string, list: Properties[]): void {
  for (const rule of list) {
    const without =
      rule.portRange === undefined || rule.portRange === null || rule.portRange === "";
    if (!without || rule.protocol === "icmp") continue;
    throw new Error(
      `\`port_range\` of ${direction} rules is required if protocol is \`tcp\` or \`udp\``,
    );
  }
}

export function firewall(connect: Connect): BridgedResource {
  return {
    attributes: {
      dropletIds: { set: true },
      inboundRules: rules,
      name: { validate: notEmpty },
      outboundRules: rules,
      tags,
    },
    computed: ["createdAt", "pendingChanges", "status"],
    defaultsAreInputs: true,
    autoName: { maxLength: 255 },
    plan: (_state, inputs) => {
      checkRules(inputs);
      return undefined;
    },
    create: async ({ inputs, signal }) => {
      const api = await connect(signal);
      const made = await step("Error creating firewall", () =>
        api.firewalls.create(requestOf(inputs)),
      );
      return { id: made.id, outputs: outputsOf(made) };
    },
    settle: async ({ id, signal }) => mustRead(connect, id, signal),
    read: async ({ id, signal }) => {
      const api = await connect(signal);
      const found = await step("Error retrieving firewall", () => api.firewalls.get(id));
      return found === null ? null : outputsOf(found);
    },
    update: async ({ id, news, signal }) => {
      const api = await connect(signal);
      await step("Error updating firewall", () => api.firewalls.replace(id, requestOf(news)));
      return mustRead(connect, id, signal);
    },
    delete: async ({ id, signal }) => {
      const api = await connect(signal);
      await tolerateGone(() => step("Error deleting firewall", () => api.firewalls.delete(id)));
    },
  };
}

async function mustRead(connect: Connect, id: string, signal: AbortSignal): Promise<Properties> {
  const api = await connect(signal);
  const found = await step("Error retrieving firewall", () => api.firewalls.get(id));
  if (found === null) throw new Error(`firewall ${id} is gone`);
  return outputsOf(found);
}
