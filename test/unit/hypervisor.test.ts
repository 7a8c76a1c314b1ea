import assert from "node:assert/strict";
import { test } from "node:test";
import { knotConfiguration, unboundConfiguration, zoneText } from "../../sandbox/cloud/dns.ts";
import { ruleset } from "../../sandbox/cloud/firewall.ts";
import { addressesOf, maximumIndex, planFor, reservedIp } from "../../sandbox/cloud/network.ts";

const plan = planFor("/sandbox", 64);

test("sandboxes of different folders share no name and no IPv6 network", () => {
  const other = planFor("/other", 65);
  assert.notEqual(plan.namespace, other.namespace);
  assert.notEqual(plan.hostLink, other.hostLink);
  assert.notEqual(plan.ipv6Range, other.ipv6Range);
  assert.ok(plan.hostLink.length < 16, "the kernel takes no longer name");
});

test("every droplet has addresses of its own, none of them another's reserved one", () => {
  const all = new Set<string>();
  const indexes = Array.from({ length: maximumIndex }, (_, index) => index + 1);
  for (const index of indexes) {
    const { ipv4, ipv4Private, ipv6 } = addressesOf(plan, index);
    for (const address of [ipv4, ipv4Private, ipv6]) all.add(address);
  }
  assert.equal(all.size, 3 * maximumIndex);
  assert.ok(!all.has(reservedIp(plan, 1)));
});

test("a firewall's rules become a filter by family, protocol and port", () => {
  const everyone = ["0.0.0.0/0", "::/0"];
  const text = ruleset(
    plan,
    [
      { id: 7, ipv4: ["10.64.16.1"], ipv6: [], rules: null },
      {
        id: 8,
        ipv4: ["10.64.16.2"],
        ipv6: ["fd00::2"],
        rules: {
          inbound: [
            { protocol: "tcp", ports: "22", sources: ["10.64.16.1/32"] },
            { protocol: "icmp", ports: "all", sources: everyone },
          ],
          outbound: [{ protocol: "udp", ports: "0", destinations: ["fd00::/8"] }],
        },
      },
    ],
    new Map([["10.64.240.1", "10.64.16.2"]]),
  );
  const chainOf = (name: string) =>
    text.match(new RegExp(`chain ${name} {\n([^}]*)}`))?.[1]?.trim();
  assert.deepEqual(chainOf("in_8")?.split(/\n\s*/), [
    "ip saddr 10.64.16.1/32 tcp dport 22 return",
    "meta nfproto ipv4 meta l4proto icmp return",
    "meta nfproto ipv6 meta l4proto ipv6-icmp return",
    "drop",
  ]);
  assert.deepEqual(chainOf("out_8")?.split(/\n\s*/), [
    "ip6 daddr fd00::/8 meta l4proto udp return",
    "drop",
  ]);
  assert.equal(chainOf("in_7"), undefined, "without a firewall nothing is filtered");
  assert.match(text, /10\.64\.240\.1 : 10\.64\.16\.2/);
});

test("a zone gets the SOA and name servers that it lacks, and keeps its own", () => {
  const record = { name: "example.org", type: "A", ttl: 60, data: "192.0.2.1" };
  assert.equal(
    zoneText({ name: "example.org", records: [record] }, 7),
    `example.org. 1800 IN SOA ns1.digitalocean.com. hostmaster.example.org. 7 10800 3600 604800 1800
example.org. 1800 IN NS ns1.digitalocean.com.
example.org. 1800 IN NS ns2.digitalocean.com.
example.org. 1800 IN NS ns3.digitalocean.com.
example.org. 60 IN A 192.0.2.1
`,
  );
  const own = { ...record, type: "NS", data: "ns.example.net." };
  assert.equal(zoneText({ name: "example.org", records: [own] }, 7).match(/ NS /g)?.length, 1);
});

test("guests' resolver knows the zones, the mirror and nothing else", () => {
  const zones = [{ name: "example.org", records: [] }];
  const unbound = unboundConfiguration(plan, zones);
  assert.match(unbound, /local-zone: "\." static/);
  assert.match(unbound, /local-zone: "example\.org\." transparent/);
  assert.match(unbound, /stub-zone:\n {4}name: "example\.org\."\n {4}stub-addr: 10\.64\.0\.54/);
  assert.match(unbound, /"deb\.debian\.org\. 300 IN A 10\.64\.0\.2"/);
  assert.match(knotConfiguration(plan, zones), /zone:\n {2}- domain: "example\.org\."/);
});
