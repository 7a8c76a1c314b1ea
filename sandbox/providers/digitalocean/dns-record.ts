import type { BridgedResource, Properties, Value } from "../kit.ts";
import { Unknown } from "../kit.ts";
import type { Api } from "./api.ts";
import { between, notEmpty, number, oneOf, step, text, tolerateGone } from "./rules.ts";
import type { Connect } from "./settings.ts";
import type { DomainRecord } from "./shapes.ts";

const types = ["A", "AAAA", "CAA", "CNAME", "MX", "NS", "TXT", "SRV", "SOA"];
/** Types whose data is a name: the API leaves its final dot off. */
const pointing = ["CNAME", "MX", "NS", "SRV", "CAA"];
const port = between(0, 65535);

/** The API gives names without the domain ("@" for itself), programs may give them in full. */
function sameName(state: Value | undefined, input: Value | undefined, inputs: Properties): boolean {
  const zone = `${text(inputs.domain)}.`;
  return (state === "@" && input === zone) || `${text(state)}.${zone}` === input;
}

function sameData(state: Value | undefined, input: Value | undefined, inputs: Properties): boolean {
  const zone = `${text(inputs.domain)}.`;
  return (state === "@" && input === zone) || state === `${text(input)}.${zone}`;
}

function fullName(name: string, domain: string): string {
  if (name === "@") return domain;
  const lower = name.toLowerCase();
  return lower.endsWith(`${domain}.`) ? lower.replace(/\.$/, "") : `${name}.${domain}`;
}

function outputsOf(record: DomainRecord, domain: string): Properties {
  const dotted = pointing.includes(record.type) && record.data !== "@" && record.tag !== "iodef";
  return {
    domain,
    type: record.type,
    name: record.name,
    value: dotted ? `${record.data}.` : record.data,
    port: record.port,
    priority: record.priority,
    ttl: record.ttl,
    weight: record.weight,
    flags: record.flags,
    ...(record.tag === "" ? {} : { tag: record.tag }),
    fqdn: fullName(record.name, domain),
  };
}

/** As the Go client sends it: numbers always, text and TTL only if given. */
const requestOf = (inputs: Properties) => ({
  name: inputs.name,
  data: inputs.value,
  priority: number(inputs.priority),
  port: number(inputs.port),
  ttl: number(inputs.ttl) || undefined,
  weight: number(inputs.weight),
  flags: number(inputs.flags),
  tag: text(inputs.tag) || undefined,
});

/** What some types can't do without. */
const needed: { [type: string]: string[] } = {
  MX: ["priority"],
  SRV: ["priority", "weight"],
  CAA: ["flags", "tag"],
};

function checkNeeds(inputs: Properties): void {
  const type = inputs.type;
  if (type === undefined || type instanceof Unknown) return;
  for (const name of needed[text(type)] ?? []) {
    if ((inputs[name] ?? null) === null) {
      throw new Error(`\`${name}\` is required for when type is \`${text(type)}\``);
    }
  }
}

export function dnsRecord(connect: Connect): BridgedResource {
  return {
    attributes: {
      domain: { forceNew: true, validate: notEmpty },
      flags: { validate: between(0, 255) },
      name: { validate: notEmpty, same: sameName },
      port: { validate: port },
      priority: { validate: port },
      tag: { validate: oneOf("issue", "issuewild", "iodef") },
      ttl: { computed: true, validate: between(1, 2 ** 31 - 1) },
      type: { forceNew: true, validate: oneOf(...types) },
      value: { same: sameData },
      weight: { validate: port },
    },
    computed: ["fqdn"],
    defaultsAreInputs: true,
    autoName: { maxLength: 255 },
    plan: (_state, inputs) => {
      checkNeeds(inputs);
      return undefined;
    },
    create: async ({ inputs, signal }) => {
      if (inputs.type === "SRV" && (inputs.port ?? null) === null) {
        throw new Error("`port` is required for when type is `SRV`");
      }
      const api = await connect(signal);
      const domain = text(inputs.domain);
      const body = { type: inputs.type, ...requestOf(inputs) };
      const made = await step("Failed to create record", () => api.records(domain).create(body));
      return { id: String(made.id), outputs: outputsOf(made, domain) };
    },
    settle: async ({ id, inputs, signal, log }) => {
      const found = await mustRead(await connect(signal), text(inputs.domain), id);
      const given = number(inputs.ttl);
      if (given !== 0 && found.ttl !== given) {
        log("warning", ttlWarning(id, given, number(found.ttl)));
      }
      return found;
    },
    importState: ({ id }) => {
      const [domain, record] = id.split(",");
      if (record === undefined) return { id, outputs: {} };
      if (!/^\d+$/.test(record)) throw new Error(`invalid record ID: ${record}`);
      return { id: record, outputs: { domain: domain ?? "" } };
    },
    read: async ({ id, state, signal }) => read(await connect(signal), text(state.domain), id),
    update: async ({ id, news, signal }) => {
      const api = await connect(signal);
      const domain = text(news.domain);
      await step("Failed to update record", () => api.records(domain).replace(id, requestOf(news)));
      return mustRead(api, domain, id);
    },
    delete: async ({ id, state, signal }) => {
      const api = await connect(signal);
      await tolerateGone(() =>
        step("Error deleting record", () => api.records(text(state.domain)).delete(id)),
      );
    },
  };
}

async function read(api: Api, domain: string, id: string): Promise<Properties | null> {
  const found = await api.records(domain).get(id);
  return found === null ? null : outputsOf(found, domain);
}

async function mustRead(api: Api, domain: string, id: string): Promise<Properties> {
  const found = await read(api, domain, id);
  if (found === null) throw new Error(`record ${id} of ${domain} is gone`);
  return found;
}

const ttlWarning = (id: string, given: number, found: number): string =>
  `digitalocean_record TTL changed: The TTL for record ID ${id} changed from ${given} to ${found}. ` +
  "DNS requires that multiple records with the same FQDN share the same TTL.";
