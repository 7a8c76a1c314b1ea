import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import type { TorNetwork } from "../../sandbox/world/tor.ts";
import { hiddenIn, joinTor, OnionClient } from "../system/by-tor.ts";
import { cloudApi } from "../system/cloud.ts";
import { Dialogue } from "../system/dialogue.ts";
import { openStack, TestServer } from "../system/server.ts";

// A hidden server whose machine is lost, and one that can't be reached by Tor any more, as docs/tor.md says.

const name = "back";

let tor: TorNetwork;
let server: TestServer;
let subject: string;
before(async () => {
  tor = await joinTor();
  await (await openStack(name)).destroy();
  server = await TestServer.up(name, hiddenIn(tor));
  const client = new OnionClient(tor, server);
  subject = await client.writeMail();
  await client.readMail(subject);
});
after(async () => void (await server.stack.destroy()));

test("a new machine in place of a lost one has the same onion names, and the mail", async () => {
  const { onion, sshHostKey } = server.outputs;
  await cloudApi.deleteDroplet(await server.guest());
  await tor.newCircuits();
  await server.up();
  assert.deepEqual(server.outputs.onion, onion);
  assert.equal(server.outputs.sshHostKey, sshHostKey);
  const client = new OnionClient(tor, server);
  await client.untilFound("users", 993);
  await client.readMail(subject);
});

test("who has lost Tor gets to the mail by a new machine with SSH in the clear, by one `up`", async () => {
  delete process.env.ALL_PROXY;
  const lost = await server.guest();
  server = await TestServer.up(name, { ...hiddenIn(tor), profile: "casual" });
  assert.notEqual(await server.guest(), lost);
  const { address, password } = server.outputs.testUser;
  const { ipv4: host, serverHostname: servername, ca } = server.outputs;
  const imap = await Dialogue.open({ host, port: 993, servername, ca, wrapped: true });
  await imap.line();
  assert.match(await imap.imap("a", `LOGIN ${address} ${password}`), /^a OK/m);
  await imap.imap("b", "SELECT INBOX");
  assert.match(await imap.imap("c", `SEARCH SUBJECT ${subject}`), /\* SEARCH \d+/);
  imap.close();
});
