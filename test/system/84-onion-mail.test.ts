import assert from "node:assert/strict";
import { before, test } from "node:test";
import { onionKeys } from "../../components/onion.ts";
import type { TorNetwork } from "../../sandbox/world/tor.ts";
import { inNetwork, joinTor, upTor } from "./by-tor.ts";
import { Dialogue } from "./dialogue.ts";
import { TestServer } from "./server.ts";
import { submit } from "./submit.ts";

/** By which the other server's onion name is known before there is that server. */
const onionSeed = "a seed of thirty-two letters, and more";

let tor: TorNetwork;
let here: TestServer;
let there: TestServer;
before(async () => {
  tor = await joinTor();
  const pinned = (domain: string, address: string) => ({
    onionPeers: { [domain]: { address, only: true } },
  });
  here = await upTor(tor, pinned("tor-b.example", onionKeys(onionSeed, "smtp", 0).address));
  const { mailDomain, onion } = here.outputs;
  const peer = pinned(mailDomain, onion.smtp ?? "");
  there = await TestServer.up("tor-b", { ...inNetwork(tor), ...peer }, { onionSeed });
  await here.run(blackhole("add", there));
  await there.run(blackhole("add", here));
});

/** Closes or opens all ways in the clear between two servers. */
const blackhole = (verb: "add" | "del", { outputs: { ipv4, ipv6 } }: TestServer) =>
  `ip route ${verb} blackhole ${ipv4}; ip -6 route ${verb} blackhole ${ipv6}`;

/** Hands in a mail at one server for the other's user, or for another name that leads to him; its subject. */
async function write(from: TestServer, to: TestServer, name = "test"): Promise<string> {
  const { ipv4: host, serverHostname: servername, ca, testUser } = from.outputs;
  const smtp = await Dialogue.open({ host, port: 465, servername, ca, wrapped: true });
  await smtp.smtp();
  const subject = await submit(smtp, testUser, `${name}@${to.outputs.mailDomain}`);
  smtp.close();
  return subject;
}

const flushed =
  "for i in $(seq 45); do postqueue -j | grep -q . || exit 0; postqueue -f; sleep 4; done; mailq >&2; journalctl -u onion-mail -n 20 -o cat --no-pager >&2; exit 1";

/** Waits for a mail in the other's inbox, and says where it was handed over: the relay of the last that was sent. */
async function arrives(
  from: TestServer,
  to: TestServer,
  subject: string,
  name = "test",
): Promise<string> {
  const { address } = to.outputs.testUser;
  const inbox = `doveadm search -u ${address} mailbox INBOX header subject ${subject} 2>/dev/null | grep -q .`;
  await Promise.all([
    to.run(`for i in $(seq 360); do ${inbox} && exit 0; sleep 0.5; done; exit 1`),
    from.run(flushed), // a service that has just begun isn't found at once, and Postfix's own next try is in five minutes
  ]);
  const sent = await from.run(
    `journalctl -u postfix -o cat --no-pager | grep 'to=<${name}@${to.outputs.mailDomain}>.*status=sent' | tail -1`,
  );
  return /relay=([^,]*)/.exec(sent)?.[1] ?? "";
}

/** Where onion-mail passes on by Tor. */
const byOnion = /^127\.200\.\d+\.\d+\[/;

test("two servers exchange mail by onion, with all ways in the clear closed between them", async () => {
  for (const [from, to] of [
    [here, there],
    [there, here],
  ] as const)
    assert.match(await arrives(from, to, await write(from, to)), byOnion);
});

const authority = "/usr/local/share/ca-certificates/other.crt";

const forget = (server: TestServer) =>
  server.run(
    "systemctl stop onion-mail; rm -f /var/lib/onion-mail/proven.json; systemctl start onion-mail",
  );

test("a published onion name is trusted when the server there proves to be the domain's, and not before", async () => {
  there = await TestServer.up("tor-b", inNetwork(tor), { onionSeed });
  await there.run(blackhole("del", here));
  await here.run(blackhole("del", there));
  await there.run(`rm -f ${authority}; update-ca-certificates >/dev/null 2>&1`); // of an earlier run
  await forget(there);
  const unproven = await arrives(there, here, await write(there, here));
  assert.match(unproven, new RegExp(`^${here.outputs.serverHostname}\\[`), "in the clear");
  await there.run(`cat >${authority}; update-ca-certificates >/dev/null 2>&1`, here.outputs.ca);
  await forget(there);
  await there.run(
    `for i in $(seq 180); do postmap -q x@${here.outputs.mailDomain} socketmap:unix:/run/onion-mail/socket:way && exit 0; sleep 1; done; exit 1`,
  );
  // Postfix remembers the way of an address for half a minute.
  const subject = await write(there, here, "postmaster");
  const proven = await arrives(there, here, subject, "postmaster");
  assert.match(proven, byOnion);
});

test("while its onion service is out of reach, a peer that may be reached in the clear gets its mail there", async () => {
  await here.run("systemctl stop tor@default");
  try {
    const { mailDomain, serverHostname } = here.outputs;
    await there.run(
      `for i in $(seq 60); do postmap -q x@${mailDomain} socketmap:unix:/run/onion-mail/socket:way >/dev/null || exit 0; sleep 1; done; exit 1`,
    );
    const relay = await arrives(there, here, await write(there, here));
    assert.match(relay, new RegExp(`^${serverHostname}\\[`));
  } finally {
    await here.run("systemctl start tor@default");
  }
});

test("with Tor killed in the middle mail waits, and none is lost", async () => {
  const before = await write(here, there);
  await here.run("systemctl kill --signal=KILL tor@default; systemctl stop tor@default");
  const written = [before];
  for (let count = 0; count < 5; count++) written.push(await write(here, there));
  await here.run(
    "for i in $(seq 100); do test $(postqueue -j | grep -c delay_reason) -ge 5 && exit 0; sleep 0.2; done; mailq; exit 1",
  );
  await here.run(
    "systemctl start tor@default; /usr/local/lib/mailfruit/tor-ready --wait 60; postqueue -f",
  );
  for (const subject of written) await arrives(here, there, subject);
});
