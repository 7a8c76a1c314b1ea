import assert from "node:assert/strict";
import { test } from "node:test";
import { read, said } from "./read-settings.ts";

const onion = "2s4yqjx5ul6okpp3f2gaunr2syex5jgbfpfvhxxbbjwnrsvbk5v3qbid.onion";
const peers = (domain: string, peer: unknown) => ({
  onionPeers: JSON.stringify({ [domain]: peer }),
});
const gateway = { kind: "gateway", ...peers("anna.example", { address: onion }) };

test("a gateway is mx.DOMAIN, and has no onion service for users", () => {
  const { serverHostname, tor } = read(gateway);
  assert.equal(serverHostname, "mx.anna.example");
  assert.deepEqual(
    tor?.services.map(({ name }) => name),
    ["ssh", "smtp"],
  );
  assert.equal(read({}).serverHostname, "mail.anna.example");
});

test("a hidden server's mail can be passed on by the onion name of its gateway", () => {
  assert.equal(read({ smarthost: `${onion}:25` }).smarthost?.host, onion);
  assert.match(
    said({ useTor: "false", smarthost: `${onion}:25` }).join(),
    /^smarthost: is an onion name, and no Tor/,
  );
});

test("what a gateway can't be is refused with the reason", () => {
  const cases: [Record<string, string>, RegExp][] = [
    [{ kind: "relay" }, /^kind: must be mail or gateway/],
    [
      { kind: "gateway" },
      /^onionPeers: must have the address of the hidden server of anna\.example/,
    ],
    [
      { ...gateway, ...peers("else.example", { address: onion }) },
      /^onionPeers: must have the address of the hidden server of anna\.example/,
    ],
    [
      { ...gateway, torProxyUrl: "socks5h://a.example:1", onionPeers: "{}" },
      /^kind: is gateway, which passes mail on by onion, and no Tor runs on it/,
    ],
    [{ ...gateway, profile: "activist" }, /^onionOnly: is all, and a gateway is what the world/],
    [{ ...gateway, onionOnly: "users" }, /^onionOnly: is users, and a gateway is what the world/],
    [
      { ...gateway, mailboxes: '{"anna@anna.example":{}}' },
      /^mailboxes: means nothing on a gateway, which stores no mail/,
    ],
    [
      { ...gateway, onionServices: '{"users":{}}' },
      /^onionServices: has users, of which a gateway has none/,
    ],
    [
      { gatewayClient: `${"AA:".repeat(31)}AA` },
      /^gatewayClient: means nothing where kind is mail/,
    ],
    [{ ...gateway, gatewayClient: "AA:BB" }, /^gatewayClient: must be a SHA-256 fingerprint/],
  ];
  for (const [texts, wanted] of cases) assert.match(said(texts)[0] ?? "", wanted);
});
