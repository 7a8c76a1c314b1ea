import type { FirewallRules } from "../hypervisor.ts";
import type { Droplet, Firewall, Peers, Rule, State } from "./state.ts";

/** Tags are compared without regard to case. */
export function sameTag(one: string, other: string): boolean {
  return one.toLowerCase() === other.toLowerCase();
}

export function hasTag(object: { tags: string[] }, tag: string): boolean {
  return object.tags.some((one) => sameTag(one, tag));
}

/** By the droplet's id or one of its tags. */
export function isBehind(droplet: Droplet, firewall: Firewall): boolean {
  return (
    firewall.dropletIds.includes(droplet.id) || firewall.tags.some((tag) => hasTag(droplet, tag))
  );
}

/** All that any of its firewalls lets through; `null` where it has none. */
export function rulesFor(droplet: Droplet, state: State): FirewallRules | null {
  const firewalls = state.firewalls.filter((firewall) => isBehind(droplet, firewall));
  if (firewalls.length === 0) return null;
  return {
    inbound: firewalls
      .flatMap((firewall) => firewall.inbound)
      .map((rule) => ({ ...head(rule), sources: addresses(rule.peers, state) })),
    outbound: firewalls
      .flatMap((firewall) => firewall.outbound)
      .map((rule) => ({ ...head(rule), destinations: addresses(rule.peers, state) })),
  };
}

function head(rule: Rule): { protocol: Rule["protocol"]; ports: string } {
  return { protocol: rule.protocol, ports: rule.ports === "0" ? "all" : rule.ports };
}

function addresses(peers: Peers, state: State): string[] {
  const droplets = state.droplets.filter(
    (droplet) =>
      peers.dropletIds.includes(droplet.id) || peers.tags.some((tag) => hasTag(droplet, tag)),
  );
  return [...new Set([...peers.addresses.map(cidr), ...droplets.flatMap(addressesOf)])];
}

function addressesOf(droplet: Droplet): string[] {
  const { ipv4, ipv4Private, ipv6 } = droplet.addresses;
  return [ipv4, ipv4Private, ...(droplet.ipv6 ? [ipv6] : [])].map(cidr);
}

function cidr(address: string): string {
  if (address.includes("/")) return address;
  return address.includes(":") ? `${address}/128` : `${address}/32`;
}
