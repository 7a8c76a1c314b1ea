import type { Zone } from "../hypervisor.ts";
import type { Domain, DomainRecord, Droplet, State } from "./state.ts";

export const nameServers = ["ns1.digitalocean.com", "ns2.digitalocean.com", "ns3.digitalocean.com"];
const minimumTtl = 1800;

type ZoneRecord = Zone["records"][number];

/** Every zone that the state implies: the domains, and reverse zones from the names of droplets. */
export function zonesOf(state: State): Zone[] {
  return [...state.domains.map(forwardZone), ...reverseZones(state)];
}

/** The name without its final dot, relative ones and `@` completed by the zone. */
export function absoluteName(name: string, zone: string): string {
  return name === "@" ? zone : `${name}.${zone}`;
}

/** DigitalOcean's `zone_file`. */
export function zoneFile(domain: Domain): string {
  const zone = forwardZone(domain);
  const lines = zone.records.map(
    (record) => `${record.name}. ${record.ttl} IN ${record.type} ${record.data}`,
  );
  return `$ORIGIN ${domain.name}.\n$TTL ${domain.ttl}\n${lines.join("\n")}\n`;
}

function forwardZone(domain: Domain): Zone {
  const records = domain.records
    .filter((record) => record.type !== "SOA")
    .map((record) => ({
      name: absoluteName(record.name, domain.name),
      type: record.type,
      ttl: record.ttl,
      data: masterFileData(record, domain.name),
    }));
  return { name: domain.name, records: [soa(domain.name, domain.serial), ...unique(records)] };
}

/** The same record twice is allowed by the API and once in the DNS. */
function unique(records: ZoneRecord[]): ZoneRecord[] {
  const seen = new Map(
    records.map((record) => [`${record.name} ${record.type} ${record.data}`, record]),
  );
  return [...seen.values()];
}

function soa(zone: string, serial: number): ZoneRecord {
  const data = `${nameServers[0]}. hostmaster.${zone}. ${serial} 10800 3600 604800 ${minimumTtl}`;
  return { name: zone, type: "SOA", ttl: minimumTtl, data };
}

function masterFileData(record: DomainRecord, zone: string): string {
  const target = record.data === "@" ? `${zone}.` : `${record.data}.`;
  switch (record.type) {
    case "CNAME":
    case "NS":
      return target;
    case "MX":
      return `${record.priority ?? 0} ${target}`;
    case "SRV":
      return `${record.priority ?? 0} ${record.weight ?? 0} ${record.port ?? 0} ${target}`;
    case "CAA":
      return `${record.flags ?? 0} ${record.tag ?? "issue"} ${quoted(record.data)}`;
    case "TXT":
      return textStrings(record.data).map(quoted).join(" ");
    default:
      return record.data;
  }
}

const longestString = 255;

/** The character-strings of a TXT record: as quoted by the caller, else cut where the DNS demands it. */
function textStrings(data: string): string[] {
  if (/^"[^"]*"(\s+"[^"]*")*$/.test(data)) {
    return [...data.matchAll(/"([^"]*)"/g)].flatMap((match) => cut(match[1] ?? ""));
  }
  return cut(data);
}

function cut(text: string): string[] {
  const bytes = Buffer.from(text, "utf8");
  const parts: string[] = [];
  for (let start = 0; start < bytes.length || start === 0; start += longestString) {
    parts.push(bytes.subarray(start, start + longestString).toString("latin1"));
  }
  return parts;
}

/** A character-string of RFC 1035 section 5.1; bytes outside ASCII as `\DDD`. */
function quoted(text: string): string {
  const escaped = text.replace(/["\\]|[^ -~]/g, (character) => {
    if (character === '"' || character === "\\") return `\\${character}`;
    return `\\${String(character.charCodeAt(0)).padStart(3, "0")}`;
  });
  return `"${escaped}"`;
}

/** Only a droplet whose name is a full host name gets a PTR record, as at DigitalOcean. */
function reverseZones(state: State): Zone[] {
  const zones = new Map<string, ZoneRecord[]>();
  for (const droplet of state.droplets.filter((one) => one.name.includes("."))) {
    for (const address of publicAddresses(droplet)) {
      const { zone, name } = reverseName(address);
      const record = { name, type: "PTR", ttl: minimumTtl, data: `${droplet.name.toLowerCase()}.` };
      zones.set(zone, [...(zones.get(zone) ?? reverseApex(zone, state)), record]);
    }
  }
  return [...zones].map(([name, records]) => ({ name, records }));
}

function reverseApex(zone: string, state: State): ZoneRecord[] {
  const ns = nameServers.map((server) => ({
    name: zone,
    type: "NS",
    ttl: minimumTtl,
    data: `${server}.`,
  }));
  return [soa(zone, state.reverseSerial), ...ns];
}

function publicAddresses(droplet: Droplet): string[] {
  return [droplet.addresses.ipv4, ...(droplet.ipv6 ? [droplet.addresses.ipv6] : [])];
}

/** Zones are cut at /16 for IPv4 and at /64 for IPv6. */
function reverseName(address: string): { zone: string; name: string } {
  const v6 = address.includes(":");
  const labels = v6 ? nibbles(address).reverse() : address.split(".").reverse();
  const suffix = v6 ? "ip6.arpa" : "in-addr.arpa";
  const hostLabels = v6 ? 16 : 2;
  return {
    zone: [...labels.slice(hostLabels), suffix].join("."),
    name: [...labels, suffix].join("."),
  };
}

function nibbles(address: string): string[] {
  const [head = "", tail] = address.split("::");
  const groups = (part: string) => (part === "" ? [] : part.split(":"));
  const before = groups(head);
  const after = tail === undefined ? [] : groups(tail);
  const missing = Array<string>(8 - before.length - after.length).fill("0");
  const all = tail === undefined ? before : [...before, ...missing, ...after];
  return [...all.map((group) => group.padStart(4, "0")).join("")];
}
