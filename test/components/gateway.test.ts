import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { z } from "zod";
import { resolved } from "./mock-engine.ts";
import { serverWith } from "./server.ts";

const onion = "2s4yqjx5ul6okpp3f2gaunr2syex5jgbfpfvhxxbbjwnrsvbk5v3qbid.onion";
const client = `${"AB:".repeat(31)}AB`;
const gateway = {
  kind: "gateway",
  useTor: "true",
  debug: "true",
  onionPeers: JSON.stringify({ "anna.example": { address: onion } }),
  gatewayClient: client,
};
/** A file as a role has it. */
const fileOf = async (name: string, path: string, texts: Record<string, string> = {}) =>
  (await serverWith({ ...gateway, ...texts })).fileOf(name, path);

suite("a gateway", () => {
  test("has no mailboxes, no users and none of their programs", async () => {
    const server = await serverWith(gateway);
    const names = [...server.commands().keys()];
    for (const absent of ["users", "postfix", "dovecot", "onion-dovecot", "test-user"])
      assert.ok(!names.includes(absent), absent);
    const script = server.stdinOf("packages");
    assert.match(script, /^packages="[^"]* postfix [^"]*"$/m);
    assert.doesNotMatch(script, /^packages="[^"]*(dovecot|sqlite)/m);
    assert.ok(server.waits("mail-host-prove", "mail-host-gateway"));
    assert.equal(server.server.testUser, null);
    assert.deepEqual(Object.keys(server.server.onion), ["ssh", "smtp"]);
  });

  test("opens SSH and port 25, and the world finds it, but no onion name and no users' ports", async () => {
    const server = await serverWith(gateway);
    const rules = z
      .array(z.looseObject({ portRange: z.string().optional() }))
      .parse(server.named("mail-firewall").inputs.inboundRules);
    assert.deepEqual(
      rules.flatMap(({ portRange }) => portRange ?? []),
      ["22", "25"],
    );
    const zone = String(await resolved(server.server.zoneFile));
    assert.match(zone, /^@\t1800\tIN\tMX\t10 mx\.anna\.example\.$/m);
    assert.doesNotMatch(zone, /SRV|onion/);
  });

  test("takes its domain's mail alone, as the hidden server knows the address", async () => {
    const main = await fileOf("gateway", "/etc/postfix/main.cf");
    assert.match(main, /^relay_domains = anna\.example, \$myhostname$/m);
    assert.match(main, /^smtpd_relay_restrictions = reject_unauth_destination$/m);
    assert.match(main, /reject_unverified_recipient$/m);
    const peers = JSON.parse(await fileOf("onion-mail", "/etc/mailfruit/onion-peers.json"));
    assert.deepEqual(peers.peers, { "anna.example": { address: onion, only: true } });
  });

  test("sends for who has the hidden server's key, and for nobody where there is none", async () => {
    const master = await fileOf("gateway", "/etc/postfix/master.cf");
    const listener = /^127\.0\.0\.1:10025 inet.*\n(?: {2}.*\n)+/m.exec(master)?.[0] ?? "";
    assert.match(listener, new RegExp(`relay_clientcerts = inline:{ { ${client} = hidden } }`));
    assert.match(listener, /smtpd_relay_restrictions=permit_tls_clientcerts,reject$/m);
    assert.match(listener, /smtpd_hide_client_session=yes/);
    const alone = await fileOf("gateway", "/etc/postfix/master.cf", { gatewayClient: "" });
    assert.doesNotMatch(alone, /permit_tls_clientcerts|127\.0\.0\.1:10025/);
  });
});

test("a hidden server shows its gateway its key, and needs no other proof of an onion name", async () => {
  const server = await serverWith({
    useTor: "true",
    profile: "activist",
    encryptVolume: "false",
    dns: "manual",
    smarthost: `${onion}:25`,
  });
  const master = server.fileOf("postfix", "/etc/postfix/master.cf");
  const transport = /^smarthost unix.*\n(?: {2}.*\n)+/m.exec(master)?.[0] ?? "";
  assert.match(transport, /smtp_tls_chain_files=\/etc\/ssl\/mail\/onion-smtp-key\.pem,/);
  assert.match(transport, /smtp_tls_security_level=encrypt$/m);
  assert.doesNotMatch(transport, /secure_cert_match|sasl/);
});
