import { z } from "zod";

/** The parts of the API's objects that the plugin reads; what else they have is passed over. */

const region = z.object({ slug: z.string() });
const texts = z
  .array(z.string())
  .nullish()
  .transform((list) => list ?? []);
const ids = z
  .array(z.number().int())
  .nullish()
  .transform((list) => list ?? []);
const text = z
  .string()
  .nullish()
  .transform((value) => value ?? "");
const integer = z
  .number()
  .int()
  .nullish()
  .transform((value) => value ?? 0);

const address = z.object({ ip_address: z.string(), type: z.string() });

export const droplet = z.object({
  id: z.number().int(),
  name: z.string(),
  memory: z.number().int(),
  vcpus: z.number().int(),
  disk: z.number().int(),
  region,
  image: z.object({ id: z.number().int(), slug: z.string().nullish() }).nullish(),
  size: z.object({
    slug: z.string(),
    price_hourly: z.number().nullish(),
    price_monthly: z.number().nullish(),
  }),
  features: z.array(z.string()).nullish(),
  locked: z.boolean(),
  status: z.string(),
  networks: z.object({
    v4: z.array(address).nullish(),
    v6: z.array(address).nullish(),
  }),
  created_at: text,
  tags: texts,
  volume_ids: texts,
  vpc_uuid: text,
});
export type Droplet = z.output<typeof droplet>;

export const action = z.object({
  id: z.number().int(),
  status: z.string(),
  completed_at: z.string().nullish(),
});
export type Action = z.output<typeof action>;

export const sshKey = z.object({
  id: z.number().int(),
  name: z.string(),
  fingerprint: z.string(),
  public_key: z.string(),
});
export type SshKey = z.output<typeof sshKey>;

export const domain = z.object({ name: z.string(), ttl: integer });
export type Domain = z.output<typeof domain>;

export const domainRecord = z.object({
  id: z.number().int(),
  type: z.string(),
  name: z.string(),
  data: text,
  priority: integer,
  port: integer,
  ttl: integer,
  weight: integer,
  flags: integer,
  tag: text,
});
export type DomainRecord = z.output<typeof domainRecord>;

const endpoints = z
  .object({
    addresses: texts,
    tags: texts,
    droplet_ids: ids,
    load_balancer_uids: texts,
    kubernetes_ids: texts,
  })
  .nullish();
export type Endpoints = z.output<typeof endpoints>;

const rule = { protocol: z.string(), ports: text, action: z.string().nullish() };

export const firewall = z.object({
  id: z.string(),
  name: z.string(),
  status: text,
  created_at: text,
  inbound_rules: z
    .array(z.object({ ...rule, sources: endpoints }))
    .nullish()
    .transform((list) => list ?? []),
  outbound_rules: z
    .array(z.object({ ...rule, destinations: endpoints }))
    .nullish()
    .transform((list) => list ?? []),
  droplet_ids: ids,
  tags: texts,
  pending_changes: z
    .array(
      z.object({
        droplet_id: integer,
        removing: z
          .boolean()
          .nullish()
          .transform((value) => value ?? false),
        status: text,
      }),
    )
    .nullish()
    .transform((list) => list ?? []),
});
export type Firewall = z.output<typeof firewall>;

export const volume = z.object({
  id: z.string(),
  name: z.string(),
  region,
  size_gigabytes: z.number().int(),
  description: text,
  droplet_ids: ids,
  filesystem_type: text,
  filesystem_label: text,
  tags: texts,
});
export type Volume = z.output<typeof volume>;

export const reservedIp = z.object({
  ip: z.string(),
  region: region.nullish(),
  droplet: z.object({ id: z.number().int(), region: region.nullish() }).nullish(),
});
export type ReservedIp = z.output<typeof reservedIp>;

const count = z
  .object({ count: integer })
  .nullish()
  .transform((value) => value?.count ?? 0);

export const tag = z.object({
  name: z.string(),
  resources: z
    .object({
      count: integer,
      droplets: count,
      images: count,
      volumes: count,
      volume_snapshots: count,
      databases: count,
    })
    .nullish(),
});
export type Tag = z.output<typeof tag>;
