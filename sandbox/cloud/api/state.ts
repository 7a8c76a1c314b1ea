import { z } from "zod";

const text = z.string();
const optionalText = z.string().nullable();

export const sshKeySchema = z.object({
  id: z.int(),
  name: text,
  fingerprint: text,
  publicKey: text,
});

export const dropletSchema = z.object({
  id: z.int(),
  name: text,
  region: text,
  size: text,
  /** Gigabytes; stays when a resize leaves the disk alone. */
  disk: z.int(),
  imageId: z.int(),
  /** Public keys as they were when the droplet was made: deleting a key later changes no machine. */
  sshKeys: z.array(text),
  userData: text,
  backups: z.boolean(),
  ipv6: z.boolean(),
  monitoring: z.boolean(),
  tags: z.array(text),
  vpcUuid: text,
  status: z.enum(["new", "active", "off"]),
  locked: z.boolean(),
  /** Whether its guest was made: a failed creation leaves a droplet without one. */
  made: z.boolean(),
  createdAt: text,
  addresses: z.object({ ipv4: text, ipv4Private: text, ipv6: text }),
  /** Why the last thing done to the guest failed; for `status`, never in the API. */
  failure: optionalText,
});

export const actionSchema = z.object({
  id: z.int(),
  type: text,
  status: z.enum(["in-progress", "completed", "errored"]),
  startedAt: text,
  completedAt: optionalText,
  /** What it is done to, as `droplet:ID`, `volume:ID` or `reserved_ip:ADDRESS`. */
  subject: text,
  resourceType: z.enum(["droplet", "volume", "reserved_ip"]),
  resourceId: z.int().nullable(),
  region: text,
  failure: optionalText,
});

export const recordSchema = z.object({
  id: z.int(),
  type: z.enum(["A", "AAAA", "CAA", "CNAME", "MX", "NS", "SOA", "SRV", "TXT"]),
  /** Relative to the zone, `@` for the zone itself. */
  name: text,
  data: text,
  ttl: z.int(),
  priority: z.int().nullable(),
  port: z.int().nullable(),
  weight: z.int().nullable(),
  flags: z.int().nullable(),
  tag: optionalText,
});

export const domainSchema = z.object({
  name: text,
  ttl: z.int(),
  serial: z.int(),
  records: z.array(recordSchema),
});

/** Who may talk: DigitalOcean's `sources` and `destinations`. */
export const peersSchema = z.object({
  addresses: z.array(text),
  tags: z.array(text),
  dropletIds: z.array(z.int()),
});

/** `ports` is "0" for all, "22" or "8000-9000". */
export const ruleSchema = z.object({
  protocol: z.enum(["tcp", "udp", "icmp"]),
  ports: text,
  peers: peersSchema,
});

export const firewallSchema = z.object({
  id: text,
  name: text,
  status: z.enum(["waiting", "succeeded", "failed"]),
  createdAt: text,
  inbound: z.array(ruleSchema),
  outbound: z.array(ruleSchema),
  dropletIds: z.array(z.int()),
  tags: z.array(text),
  pending: z.array(z.object({ dropletId: z.int(), removing: z.boolean() })),
});

export const volumeSchema = z.object({
  id: text,
  name: text,
  region: text,
  gigabytes: z.int(),
  description: text,
  filesystemType: z.enum(["", "ext4", "xfs"]),
  filesystemLabel: text,
  tags: z.array(text),
  dropletId: z.int().nullable(),
  createdAt: text,
});

export const reservedIpSchema = z.object({
  ip: text,
  region: text,
  dropletId: z.int().nullable(),
  locked: z.boolean(),
});

export const stateSchema = z.object({
  version: z.literal(1),
  nextId: z.int(),
  accountUuid: text,
  projectId: text,
  createdAt: text,
  /** Each region's default VPC, by region. */
  vpcs: z.record(text, text),
  reverseSerial: z.int(),
  sshKeys: z.array(sshKeySchema),
  droplets: z.array(dropletSchema),
  actions: z.array(actionSchema),
  domains: z.array(domainSchema),
  firewalls: z.array(firewallSchema),
  volumes: z.array(volumeSchema),
  reservedIps: z.array(reservedIpSchema),
  tags: z.array(text),
});

export type SshKey = z.infer<typeof sshKeySchema>;
export type Droplet = z.infer<typeof dropletSchema>;
export type Action = z.infer<typeof actionSchema>;
export type DomainRecord = z.infer<typeof recordSchema>;
export type Domain = z.infer<typeof domainSchema>;
export type Peers = z.infer<typeof peersSchema>;
export type Rule = z.infer<typeof ruleSchema>;
export type Firewall = z.infer<typeof firewallSchema>;
export type Volume = z.infer<typeof volumeSchema>;
export type ReservedIp = z.infer<typeof reservedIpSchema>;
export type State = z.infer<typeof stateSchema>;
