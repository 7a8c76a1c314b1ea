import type { Zone } from "./hypervisor.ts";
import { mirrorNames } from "./mirror-relay.ts";
import type { Plan } from "./network.ts";

/** Where these files lie in the DNS guest. */
export const zoneFolder = "/var/lib/knot/zones";

/** DigitalOcean's own, which the zones name. */
const nameServers = ["ns1.digitalocean.com", "ns2.digitalocean.com", "ns3.digitalocean.com"];

/** Knot: authoritative for the zones, at an address of its own. */
export function knotConfiguration(plan: Plan, zones: Zone[]): string {
  const entries = zones.map((zone) => `  - domain: "${absolute(zone.name)}"\n`).join("");
  return `server:
    listen: [ "${plan.authoritative.ipv4}@53", "${plan.authoritative.ipv6}@53" ]

log:
  - target: syslog
    any: info

database:
    journal-db-max-size: 16M
    kasp-db-max-size: 16M
    timer-db-max-size: 16M
    catalog-db-max-size: 16M

# The files are the whole truth: nothing is kept beside them.
template:
  - id: default
    storage: ${zoneFolder}
    file: "%s.zone"
    zonefile-load: whole
    zonefile-sync: -1
    journal-content: none
${entries && `\nzone:\n${entries}`}`;
}

/**
 * Unbound: what the guests ask. It asks Knot for the zones, knows the mirror and the name servers, and says of
 * every other name that there is none. It keeps no answer, so that a changed record shows at once.
 */
export function unboundConfiguration(plan: Plan, zones: Zone[]): string {
  const own = [
    ...mirrorNames.map((name) => `${name}. 300 IN A ${plan.gateway.ipv4}`),
    ...nameServers.flatMap((name) => [
      `${name}. 300 IN A ${plan.authoritative.ipv4}`,
      `${name}. 300 IN AAAA ${plan.authoritative.ipv6}`,
    ]),
  ];
  const authority = [plan.authoritative.ipv4, plan.authoritative.ipv6];
  return `server:
    interface: ${plan.resolver.ipv4}
    interface: ${plan.resolver.ipv6}
    access-control: ${plan.ipv4Range} allow
    access-control: ${plan.ipv6Range} allow
    module-config: "iterator"
    cache-max-ttl: 0
    cache-max-negative-ttl: 0
    # Zones come and go at any time: an error is no reason to believe a name server dead.
    infra-host-ttl: 0
    do-not-query-localhost: no
    local-zone: "." static
${zones.map((zone) => `    local-zone: "${absolute(zone.name)}" transparent\n`).join("")}
${own.map((record) => `    local-data: "${record}"\n`).join("")}
${zones.map((zone) => stub(absolute(zone.name), authority)).join("\n")}`;
}

function stub(name: string, addresses: string[]): string {
  return `stub-zone:
    name: "${name}"
${addresses.map((address) => `    stub-addr: ${address}\n`).join("")}`;
}

/** A master file. The SOA and NS records are added where the zone doesn't bring its own. */
export function zoneText(zone: Zone, serial: number): string {
  const origin = absolute(zone.name);
  const has = (type: string) =>
    zone.records.some((record) => record.type === type && absolute(record.name) === origin);
  const records = zone.records.map(
    (record) => `${absolute(record.name)} ${record.ttl} IN ${record.type} ${record.data}`,
  );
  const contact = `hostmaster.${origin}`;
  const soa = `${origin} 1800 IN SOA ${nameServers[0]}. ${contact} ${serial} 10800 3600 604800 1800`;
  const ns = nameServers.map((server) => `${origin} 1800 IN NS ${server}.`);
  return [...(has("SOA") ? [] : [soa]), ...(has("NS") ? [] : ns), ...records, ""].join("\n");
}

const absolute = (name: string) => (name.endsWith(".") ? name : `${name}.`);
