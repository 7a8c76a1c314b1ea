import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { after, before, test } from "node:test";
import { z } from "zod";
import { inGuest } from "../../sandbox/cloud/shell.ts";
import type { Stack } from "../../sandbox/stack.ts";
import { readMail } from "../../sandbox/world/reader.ts";
import type { TorNetwork } from "../../sandbox/world/tor.ts";
import { hiddenIn, inNetwork, joinTor, OnionClient } from "../system/by-tor.ts";
import { guestOf, openStack, TestServer } from "../system/server.ts";
import { submit } from "../system/submit.ts";

// A hidden server that writes to the world and hears from it by a gateway, as docs/onion-mail.md says.

const outputs = z.looseObject({
  serverHostname: z.string(),
  ca: z.string(),
  onion: z.record(z.string(), z.string()),
  smtpFingerprint: z.string().nullable(),
});

/** Those of a gateway: there is no user. */
const outputsOf = async (stack: Stack) => outputs.parse(await stack.outputs({ secrets: true }));

const domain = "gate.example";
let tor: TorNetwork;
let hidden: TestServer;
let gateway: Stack;
let world: TestServer;
before(async () => {
  tor = await joinTor();
  world = await TestServer.up("alpha");
  hidden = await TestServer.up("gate", hiddenIn(tor));
  const { smtpFingerprint } = await outputsOf(hidden.stack);
  gateway = await openStack("gate-mx", {
    ...inNetwork(tor),
    kind: "gateway",
    mailDomain: domain,
    adminEmail: `test@${domain}`,
    onionPeers: { [domain]: { address: hidden.outputs.onion.smtp ?? "" } },
    gatewayClient: smtpFingerprint ?? "",
  });
  await gateway.up();
  const { onion } = await outputsOf(gateway);
  hidden = await TestServer.up("gate", { ...hiddenIn(tor), smarthost: `${onion.smtp}:25` });
});
after(async () => {
  await gateway.destroy();
  await hidden.stack.destroy();
});

/** Runs a shell command on the gateway as root. */
async function onGateway(command: string): Promise<string> {
  return inGuest(await guestOf(gateway), ["/bin/sh", "-c", command]);
}

/** What a foreign server hears that writes to an address of the domain, by its MX record. */
async function deliver(to: string, subject = randomUUID()) {
  const { ca } = await outputsOf(gateway);
  return hidden.deliver({ to, subject, ca });
}

test("the world's mail comes to the hidden server's users", async () => {
  const subject = randomUUID();
  await deliver(hidden.outputs.testUser.address, subject);
  const client = new OnionClient(tor, hidden);
  await client.untilFound("users", 993);
  await client.readMail(subject);
});

test("an address that the hidden server doesn't know is refused at once, and nothing of where it was asked is told", async () => {
  await assert.rejects(deliver(`nobody@${domain}`), (error: unknown) => {
    assert.match(String(error), /550 5\.1\.1 .*Address lookup failed/);
    assert.doesNotMatch(String(error), /127\.200|onion/);
    return true;
  });
});

test("what the hidden server's users write comes to the world from the gateway, which tells nothing of Tor", async () => {
  const { testUser } = hidden.outputs;
  const { address } = world.outputs.testUser;
  const smtp = await new OnionClient(tor, hidden).wrapped(465);
  await smtp.smtp();
  const subject = await submit(smtp, testUser, address);
  smtp.close();
  const mail = await readMail(world.mailbox(), `<${subject}@client.example>`, 60);
  const headers = mail.headerLines.map(({ line }) => line).join("\n");
  assert.match(headers, /^Received: from mx\.gate\.example /m);
  assert.doesNotMatch(headers, /\.onion|fc00:|127\.0\.0\.1/);
});

test("nobody else sends by the gateway: not without the key, nor in another's name", async () => {
  const { onion } = await outputsOf(gateway);
  const probe = (...steps: string[]) =>
    hidden.run(
      `python3 - ${onion.smtp} <<'END'\nimport smtplib, socks, ssl, sys\nclass Tor(smtplib.SMTP):\n  def _get_socket(self, host, port, timeout):\n    return socks.create_connection((host, port), proxy_type=socks.SOCKS5, proxy_addr="127.0.0.1", proxy_port=9050, proxy_rdns=True)\ncontext = ssl._create_unverified_context()\n${steps.join("\n")}\nEND`,
    );
  const session = [
    "s = Tor(sys.argv[1], 25)",
    "s.starttls(context=context)",
    "s.ehlo()",
    `print(s.docmd("MAIL", "FROM:<" + sender + ">"), s.docmd("RCPT", "TO:<${world.outputs.testUser.address}>"))`,
  ];
  const key =
    'context.load_cert_chain("/etc/ssl/mail/onion-smtp-cert.pem", "/etc/ssl/mail/onion-smtp-key.pem")';
  const ours = `sender = "test@${domain}"`;
  assert.match(await probe(ours, ...session), /\(554, .*Access denied/);
  assert.match(await probe(key, ours, ...session), /\(250, .*\(250, /);
  const foreign = 'sender = "carl@elsewhere.example"';
  assert.match(await probe(key, foreign, ...session), /\(554, .*Sender address rejected/);
});

test("nothing of the mail is left on the gateway", async () => {
  assert.match(await onGateway("mailq"), /Mail queue is empty/);
  const files = "find /srv/mail /var/mail -type f -not -path '/srv/mail/queue/*'";
  assert.equal(await onGateway(files), "");
});

test("while the hidden server is away its mail waits at the senders, and the check says so", async () => {
  await hidden.run("systemctl stop tor@default");
  try {
    await onGateway("systemctl restart postfix"); // what it has heard is forgotten
    await assert.rejects(deliver(hidden.outputs.testUser.address), (error: unknown) => {
      assert.match(String(error), /450 4\.1\.1 .*Address lookup failed/);
      assert.doesNotMatch(String(error), /127\.200|onion/);
      return true;
    });
    const check = onGateway(
      "sed 's/^REACH_SECONDS = .*/REACH_SECONDS = 1/' /usr/local/lib/mailfruit/gateway-check >/run/check; python3 -I /run/check 2>&1 || true",
    );
    assert.match(await check, /the hidden server of gate\.example can't be reached/);
  } finally {
    await hidden.run("systemctl start tor@default");
  }
});
