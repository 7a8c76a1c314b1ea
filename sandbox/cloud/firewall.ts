import type { FirewallRules } from "./hypervisor.ts";
import { linkOf, type Plan, uplink } from "./network.ts";

/** A guest as the filter sees it. */
export interface Filtered {
  id: number;
  ipv4: string[];
  ipv6: string[];
  /** `null`: nothing is filtered. */
  rules: FirewallRules | null;
}

/**
 * The whole filter of the sandbox's namespace for `nft -f`: it takes the place of the one before in one step,
 * and what connection tracking knows stays. Guests reach each other, the resolver and the mirror relay, as far
 * as the firewalls of both ends let them; the machine itself they reach only with answers.
 */
export function ruleset(plan: Plan, guests: Filtered[], reserved: Map<string, string>): string {
  const filtered = guests.filter((guest) => guest.rules);
  return `table inet mailfruit
delete table inet mailfruit
table inet mailfruit {
${addressSet("ipv4_addr", "own4", guests, (guest) => guest.ipv4)}
${addressSet("ipv6_addr", "own6", guests, (guest) => guest.ipv6)}
  map reserved {
    type ipv4_addr : ipv4_addr
    ${elements([...reserved].map(([ip, guest]) => `${ip} : ${guest}`))}
  }
${filtered.map((guest) => guestChains(guest.id, guest.rules)).join("")}
  # A reserved address is translated to its droplet's own, as DigitalOcean's anchor addresses are.
  chain prerouting {
    type nat hook prerouting priority dstnat
    dnat ip to ip daddr map @reserved
  }

  # A guest sends from its own addresses only, and what its firewall lets out.
  chain sources {
    iifname "${uplink}" return
    meta nfproto ipv4 iifname . ip saddr != @own4 drop
    meta nfproto ipv6 iifname . ip6 saddr != @own6 drop
    ${vmap("iifname", "out", filtered)}
  }

  chain forward {
    type filter hook forward priority filter; policy drop;
    ct state vmap { established : accept, related : accept, invalid : drop }
    jump sources
    oifname "${uplink}" drop
    ${vmap("oifname", "in", filtered)}
    accept
  }

  chain input {
    type filter hook input priority filter; policy drop;
    ct state vmap { established : accept, related : accept }
    icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert, nd-router-solicit } accept
    jump sources
    icmp type echo-request accept
    icmpv6 type echo-request accept
    ip daddr ${plan.gateway.ipv4} tcp dport 80 accept
  }
}
`;
}

function addressSet(
  type: string,
  name: string,
  guests: Filtered[],
  addresses: (guest: Filtered) => string[],
): string {
  const all = guests.flatMap((guest) =>
    addresses(guest).map((address) => `"${linkOf(guest.id)}" . ${address}`),
  );
  return `  set ${name} {
    type ifname . ${type}
    ${elements(all)}
  }`;
}

const elements = (list: string[]) => (list.length > 0 ? `elements = { ${list.join(", ")} }` : "");

function vmap(key: string, direction: string, guests: Filtered[]): string {
  const jumps = guests.map((guest) => `"${linkOf(guest.id)}" : jump ${direction}_${guest.id}`);
  return jumps.length > 0 ? `${key} vmap { ${jumps.join(", ")} }` : "";
}

function guestChains(id: number, rules: FirewallRules | null): string {
  const inbound = rules?.inbound.map((rule) =>
    allow(rule.protocol, rule.ports, "saddr", rule.sources),
  );
  const outbound = rules?.outbound.map((rule) =>
    allow(rule.protocol, rule.ports, "daddr", rule.destinations),
  );
  return chain(`in_${id}`, inbound ?? []) + chain(`out_${id}`, outbound ?? []);
}

/** What is allowed returns: the other end's firewall has a say too. */
function chain(name: string, rules: string[][]): string {
  return `  chain ${name} {
    ${[...rules.flat(), "drop"].join("\n    ")}
  }

`;
}

function allow(protocol: string, ports: string, side: string, addresses: string[]): string[] {
  return addresses.map((address) => {
    const family = address.includes(":") ? "ip6" : "ip";
    // nft leaves a match of everything out, and with it the family that it implies.
    const everything = `meta nfproto ${family === "ip" ? "ipv4" : "ipv6"}`;
    const match = address.endsWith("/0") ? everything : `${family} ${side} ${address}`;
    return `${match} ${protocolMatch(protocol, ports, family)} return`;
  });
}

function protocolMatch(protocol: string, ports: string, family: string): string {
  if (protocol === "icmp") return `meta l4proto ${family === "ip" ? "icmp" : "ipv6-icmp"}`;
  return ["all", "0"].includes(ports) ? `meta l4proto ${protocol}` : `${protocol} dport ${ports}`;
}
