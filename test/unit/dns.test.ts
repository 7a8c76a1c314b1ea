import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { type Addresses, recordsFor, zoneFile } from "../../components/dns.ts";
import { parseSettings } from "../../settings.ts";
import { defaults } from "./defaults.ts";
import { missing } from "./server/python.ts";

const settingsOf = (mailDomain: string, serverHostname = "") =>
  parseSettings(
    {
      "mailfruit:mailDomain": mailDomain,
      "mailfruit:serverHostname": serverHostname,
      "mailfruit:adminEmail": "anna@elsewhere.example",
    },
    { defaults },
  );
const both = { ipv4: "192.0.2.10", ipv6: "2001:db8::10" };
const zoneOf = (mailDomain: string, addresses: Addresses, serverHostname?: string) =>
  zoneFile(mailDomain, recordsFor(settingsOf(mailDomain, serverHostname), addresses));

const golden = `$ORIGIN anna.example.
mail	1800	IN	A	192.0.2.10
mail	1800	IN	AAAA	2001:db8::10
@	1800	IN	MX	10 mail.anna.example.
@	1800	IN	TXT	"v=spf1 mx -all"
mail	1800	IN	TXT	"v=spf1 a -all"
_imaps._tcp	1800	IN	SRV	0 1 993 mail.anna.example.
_submissions._tcp	1800	IN	SRV	0 1 465 mail.anna.example.
_submission._tcp	1800	IN	SRV	0 1 587 mail.anna.example.
_sieve._tcp	1800	IN	SRV	0 1 4190 mail.anna.example.
`;

test("other servers find the mail domain's server and who may send for it; mail clients find theirs", () => {
  assert.equal(zoneOf("anna.example", both), golden);
});

test("a server with one kind of address gets records of that kind only", () => {
  const without = (type: string) =>
    golden
      .split("\n")
      .filter((line) => !line.includes(`\t${type}\t`))
      .join("\n");
  assert.equal(zoneOf("anna.example", { ...both, ipv6: null }), without("AAAA"));
  assert.equal(zoneOf("anna.example", { ...both, ipv4: null }), without("A"));
});

test("a server's name several labels below the domain is relative to it", () => {
  const zone = zoneOf("anna.example", both, "mx.eu.anna.example");
  assert.match(zone, /^mx\.eu\t1800\tIN\tA\t192\.0\.2\.10$/m);
  assert.match(zone, /^@\t1800\tIN\tMX\t10 mx\.eu\.anna\.example\.$/m);
});

test("a domain whose name stands in the server's twice loses only its end", () => {
  assert.match(
    zoneOf("a.example", both, "x.a.example.b.a.example"),
    /^x\.a\.example\.b\t1800\tIN\tA\t/m,
  );
});

test("no name is at once an address's and another type's that excludes it, nor a record there twice", () => {
  const records = recordsFor(settingsOf("anna.example"), both);
  const keys = records.map(({ type, name }) => `${type} ${name}`);
  assert.equal(new Set(keys).size, keys.length);
  assert.ok(
    records.every(({ ttl }) => ttl >= 30),
    "DigitalOcean takes no shorter life",
  );
});

const checker = missing("named-checkzone", "bind9-utils");
test("the zone file is one that a name server loads without a complaint", { skip: checker }, () => {
  for (const [domain, host] of [
    ["anna.example", ""],
    [`${"a".repeat(51)}.example`, ""],
    ["xn--bcher-kva.example", "mx.eu.xn--bcher-kva.example"],
  ] as const) {
    const soa =
      "@ 1800 IN SOA ns1.dns.example. h.dns.example. 1 2 3 4 5\n@ 1800 IN NS ns1.dns.example.\n";
    const input = `${zoneOf(domain, both, host)}${soa}`;
    const file = join(mkdtempSync(join(tmpdir(), "mailfruit-zone-")), domain);
    writeFileSync(file, input);
    const { status, stdout } = spawnSync("named-checkzone", [domain, file], { encoding: "utf8" });
    rmSync(dirname(file), { recursive: true });
    assert.equal(status, 0, stdout);
    assert.doesNotMatch(stdout, /warning|error/i);
  }
});

test("other servers find the onion name, where there is one to be known", () => {
  const addresses = { ipv4: "192.0.2.10", ipv6: null, onion: "x.onion" };
  const records = recordsFor(settingsOf("anna.example"), addresses);
  assert.deepEqual(records.at(-1), {
    name: "_onion-mx._tcp",
    ttl: 1800,
    type: "SRV",
    priority: 0,
    weight: 1,
    port: 25,
    value: "x.onion.",
  });
  assert.match(
    zoneFile("anna.example", records),
    /^_onion-mx\._tcp\t1800\tIN\tSRV\t0 1 25 x\.onion\.$/m,
  );
});
