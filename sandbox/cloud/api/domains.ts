import { type Context, Hono } from "hono";
import { z } from "zod";
import { body, maybeText } from "./body.ts";
import type { Cloud } from "./cloud.ts";
import { notFound, unprocessable } from "./errors.ts";
import { listed } from "./paging.ts";
import { editedRecord, newRecord, type RecordFields, recordRequest } from "./records.ts";
import type { Domain, DomainRecord } from "./state.ts";
import { absoluteName, nameServers, zoneFile } from "./zones.ts";

const defaultTtl = 1800;

const domainRequest = z.object({ name: z.string(), ip_address: maybeText });

export function domainRoutes(cloud: Cloud): Hono {
  const routes = new Hono();
  const at = (c: Context) => domainOf(cloud, c.req.param("domain") ?? "");
  routes.get("/domains", (c) => c.json(listed(c, "domains", cloud.state.domains, domainJson)));
  routes.post("/domains", async (c) => {
    const domain = await addDomain(cloud, await body(c, domainRequest));
    return c.json({ domain: { name: domain.name, ttl: domain.ttl, zone_file: null } }, 201);
  });
  routes.get("/domains/:domain", (c) => c.json({ domain: domainJson(at(c)) }));
  routes.delete("/domains/:domain", async (c) => {
    const domain = at(c);
    await change(cloud, domain, () => {
      cloud.state.domains = cloud.state.domains.filter((one) => one !== domain);
      return () => cloud.state.domains.push(domain);
    });
    return c.body(null, 204);
  });
  routes.get("/domains/:domain/records", (c) => {
    const domain = at(c);
    const { type, name } = c.req.query();
    const found = domain.records.filter(
      (one) =>
        (!type || one.type === type.toUpperCase()) &&
        (!name || absoluteName(one.name, domain.name) === name.toLowerCase()),
    );
    return c.json(listed(c, "domain_records", found, recordJson));
  });
  routes.post("/domains/:domain/records", async (c) => {
    const domain = at(c);
    const request = await body(c, recordRequest);
    const record = { id: cloud.store.newId(), ...newRecord(request, domain) };
    await change(cloud, domain, () => {
      domain.records.push(record);
      levelTtl(domain, record);
      return () => remove(domain, record);
    });
    return c.json({ domain_record: recordJson(record) }, 201);
  });
  routes.get("/domains/:domain/records/:id", (c) =>
    c.json({ domain_record: recordJson(recordOf(at(c), c.req.param("id"))) }),
  );
  for (const method of ["PUT", "PATCH"]) {
    routes.on(method, "/domains/:domain/records/:id", async (c) => {
      const domain = at(c);
      const record = recordOf(domain, c.req.param("id") ?? "");
      const fields: RecordFields = editedRecord(record, await body(c, recordRequest), domain);
      await change(cloud, domain, () => {
        const before = { ...record };
        Object.assign(record, fields);
        levelTtl(domain, record);
        return () => Object.assign(record, before);
      });
      return c.json({ domain_record: recordJson(record) });
    });
  }
  routes.delete("/domains/:domain/records/:id", async (c) => {
    const domain = at(c);
    const record = recordOf(domain, c.req.param("id"));
    await change(cloud, domain, () => {
      remove(domain, record);
      return () => domain.records.push(record);
    });
    return c.body(null, 204);
  });
  return routes;
}

function domainOf(cloud: Cloud, name: string): Domain {
  const domain = cloud.state.domains.find((one) => one.name === name.toLowerCase());
  if (!domain) throw notFound();
  return domain;
}

function recordOf(domain: Domain, id: string): DomainRecord {
  const record = domain.records.find((one) => String(one.id) === id);
  if (!record) throw notFound();
  return record;
}

async function addDomain(cloud: Cloud, request: z.infer<typeof domainRequest>): Promise<Domain> {
  const name = request.name.toLowerCase();
  if (!/^([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9])?\.)+[a-z0-9-]{2,63}$/.test(name)) {
    throw unprocessable(`domain '${request.name}': name is invalid`);
  }
  if (cloud.state.domains.some((one) => one.name === name)) {
    throw unprocessable(`domain '${name}': name already exists`);
  }
  const domain: Domain = { name, ttl: defaultTtl, serial: 0, records: firstRecords(cloud) };
  if (request.ip_address !== "") {
    const address = { type: "A", name: "@", data: request.ip_address };
    domain.records.push({ id: cloud.store.newId(), ...newRecord(address, domain) });
  }
  await change(cloud, domain, () => {
    cloud.state.domains.push(domain);
    return () => {
      cloud.state.domains = cloud.state.domains.filter((one) => one !== domain);
    };
  });
  return domain;
}

function firstRecords(cloud: Cloud): DomainRecord[] {
  const none = { priority: null, port: null, weight: null, flags: null, tag: null };
  const record = (type: "SOA" | "NS", data: string): DomainRecord => ({
    id: cloud.store.newId(),
    type,
    name: "@",
    data,
    ttl: defaultTtl,
    ...none,
  });
  return [record("SOA", String(defaultTtl)), ...nameServers.map((server) => record("NS", server))];
}

/** All records of one name and type have one TTL (RFC 2181 section 5.2): the newest wins. */
function levelTtl(domain: Domain, record: DomainRecord): void {
  for (const one of domain.records) {
    if (one.name === record.name && one.type === record.type) one.ttl = record.ttl;
  }
}

function remove(domain: Domain, record: DomainRecord): void {
  domain.records = domain.records.filter((one) => one !== record);
}

/** Returns when the change is served. `work` returns what undoes it, for a server that can't take it. */
async function change(cloud: Cloud, domain: Domain, work: () => () => unknown): Promise<void> {
  const undo = work();
  domain.serial = Math.max(domain.serial + 1, Math.floor(Date.now() / 1000));
  try {
    await cloud.publishZones();
  } catch (error) {
    undo();
    throw error;
  }
}

function domainJson(domain: Domain) {
  return { name: domain.name, ttl: domain.ttl, zone_file: zoneFile(domain) };
}

function recordJson(record: DomainRecord) {
  const { id, type, name, data, priority, port, ttl, weight, flags, tag } = record;
  return { id, type, name, data, priority, port, ttl, weight, flags, tag };
}
