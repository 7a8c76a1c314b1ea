import * as digitalocean from "@pulumi/digitalocean";
import * as pulumi from "@pulumi/pulumi";
import type { Settings } from "../settings.ts";

/** `name` is relative to the domain, "@" for the domain itself; `value` and `ttl` (seconds) as in a zone file. */
export type DnsRecord = { name: string; ttl: number } & (
  | { type: "A" | "AAAA" | "TXT"; value: string }
  | { type: "MX"; priority: number; value: string }
  | { type: "SRV"; priority: number; weight: number; port: number; value: string }
);

export interface Addresses {
  ipv4: string | null;
  ipv6: string | null;
  /** The onion name for other servers, where it is to be known. */
  onion?: string | null;
}

const ttl = 1800;

/** Where other servers find the onion name: https://github.com/ehloonion/onionmx */
const onionService = "_onion-mx._tcp";

/** The records that a mail domain needs: where its server is (RFC 5321), who sends for it (RFC 7208), and where mail clients connect (RFC 6186, RFC 8314). */
export function recordsFor(settings: Settings, addresses: Addresses): DnsRecord[] {
  const { mailDomain, serverHostname } = settings;
  const host = serverHostname.slice(0, -`.${mailDomain}`.length);
  const fqdn = `${serverHostname}.`;
  const service = (name: string, port: number, value = fqdn): DnsRecord => ({
    name,
    ttl,
    type: "SRV",
    priority: 0,
    weight: 1,
    port,
    value,
  });
  return [
    ...(addresses.ipv4 ? [{ name: host, ttl, type: "A" as const, value: addresses.ipv4 }] : []),
    ...(addresses.ipv6 ? [{ name: host, ttl, type: "AAAA" as const, value: addresses.ipv6 }] : []),
    { name: "@", ttl, type: "MX", priority: 10, value: fqdn },
    { name: "@", ttl, type: "TXT", value: "v=spf1 mx -all" },
    { name: host, ttl, type: "TXT", value: "v=spf1 a -all" },
    ...(settings.kind === "gateway"
      ? []
      : [
          service("_imaps._tcp", 993),
          service("_submissions._tcp", 465),
          service("_submission._tcp", 587),
          service("_sieve._tcp", 4190),
        ]),
    ...(addresses.onion ? [service(onionService, 25, `${addresses.onion}.`)] : []),
  ];
}

/** The data of a record as in a zone file (RFC 1035 section 5). */
function zoneData(record: DnsRecord): string {
  switch (record.type) {
    case "MX":
      return `${record.priority} ${record.value}`;
    case "SRV":
      return `${record.priority} ${record.weight} ${record.port} ${record.value}`;
    case "TXT":
      return JSON.stringify(record.value);
    default:
      return record.value;
  }
}

/** The same records as a zone file, for DNS that is kept elsewhere. */
export function zoneFile(mailDomain: string, records: DnsRecord[]): string {
  const lines = records.map((record) =>
    [record.name, record.ttl, "IN", record.type, zoneData(record)].join("\t"),
  );
  return `$ORIGIN ${mailDomain}.\n${lines.join("\n")}\n`;
}

export interface MailDomainArgs {
  settings: Settings;
  /** Of the server; an address that it doesn't have is null. */
  ipv4: pulumi.Input<string> | null;
  ipv6: pulumi.Input<string> | null;
  /** Its onion name for other servers, null where it has none or that is nobody's business. */
  onion: pulumi.Input<string> | null;
}

/** A mail domain's DNS: at DigitalOcean where the stack keeps it, and in any case as a zone file. */
export class MailDomain extends pulumi.ComponentResource {
  readonly zoneFile: pulumi.Output<string>;

  constructor(name: string, args: MailDomainArgs, opts: pulumi.ComponentResourceOptions) {
    super("mailfruit:dns:MailDomain", name, {}, opts);
    const { settings } = args;
    this.zoneFile = pulumi
      .output({ ipv4: args.ipv4, ipv6: args.ipv6, onion: args.onion })
      .apply((addresses) => zoneFile(settings.mailDomain, recordsFor(settings, addresses)));
    if (settings.dns !== "manual") this.#makeRecords(name, args);
    this.registerOutputs({});
  }

  /** Which records there are follows from the settings alone; only addresses may be unknown as yet. */
  #makeRecords(name: string, { settings, ipv4, ipv6, onion }: MailDomainArgs): void {
    const domain =
      settings.dns === "domain"
        ? new digitalocean.Domain(`${name}-domain`, { name: settings.mailDomain }, { parent: this })
        : null;
    const shape = recordsFor(settings, {
      ipv4: ipv4 && "0.0.0.0",
      ipv6: ipv6 && "::",
      onion: onion && "onion",
    });
    for (const record of shape) {
      const given: Record<string, pulumi.Input<string> | null> = {
        A: ipv4,
        AAAA: ipv6,
        [onionService]: onion && pulumi.interpolate`${onion}.`,
      };
      const address = given[record.name] ?? given[record.type];
      const { ttl, ...data } = record;
      new digitalocean.DnsRecord(
        `${name}-${record.type.toLowerCase()}-${record.name}`,
        {
          ...data,
          ttl,
          domain: domain?.name ?? settings.mailDomain,
          value: address ?? record.value,
        },
        { parent: this, ...(domain && { deletedWith: domain }) },
      );
    }
  }
}
