import assert from "node:assert/strict";
import { connect as connectTcp } from "node:net";
import { before, test } from "node:test";
import type { TorNetwork } from "../../sandbox/world/tor.ts";
import { hiddenIn, joinTor, OnionClient } from "./by-tor.ts";
import { Capture, type Sent } from "./capture.ts";
import { cloudApi } from "./cloud.ts";
import { openStack, TestServer } from "./server.ts";

// An activist's server: everything by Tor, through an obfs4 bridge, from the first boot to the first mail. What this does
// not prove: that the bytes to the bridge look like nothing known, which is obfs4's own part.

let tor: TorNetwork;
let server: TestServer;
let client: OnionClient;
/** What the machine sent until the first mail was read. */
let sent: Sent;
/** When the filter was loaded for the first time, in seconds since 1970. */
let hiddenSince: number;

before(async () => {
  tor = await joinTor();
  await (await openStack("hidden")).destroy(); // of an earlier run: its first boot is past
  await using capture = await Capture.start();
  server = await TestServer.up(
    "hidden",
    { ...hiddenIn(tor), torBridges: tor.bridges.obfs4 },
    { onionSeed: "a seed of the tests' own, with 32 letters" },
  );
  client = new OnionClient(tor, server);
  await client.readMail(await client.writeMail());
  sent = await capture.end(await server.guest());
  hiddenSince = Number(
    await server.run('date -d "$(systemctl show -P ActiveEnterTimestamp hidden.service)" +%s'),
  );
});

/** Neighbours on the link learn nothing that they don't know: ARP, and IPv6's own questions (RFC 4861, RFC 3810). */
const onTheLink = /^(arp|icmpv6 type (133|135|136|143)|protocol 0 ff02::\w+)$/;

/** What isn't to the bridge, of what was sent after a moment. */
function strays(packets: Sent, since: number): string[] {
  const [, address = "", port = ""] = /^obfs4 (\S+):(\d+) /.exec(tor.bridges.obfs4) ?? [];
  return Object.entries(packets)
    .filter(([kind, { last }]) => kind !== `tcp ${address} ${port}` && last > since)
    .map(([kind]) => kind)
    .filter((kind) => !onTheLink.test(kind));
}

test("from the end of its first steps to the first mail read not one packet goes but to the bridge", () => {
  assert.ok(Object.keys(sent).length > 1, "nothing was caught");
  assert.deepEqual(strays(sent, hiddenSince + 1), []);
});

test("the first steps in the clear are questions to the DNS and Debian's mirror, and nothing else", () => {
  const ports = strays(sent, 0).map((kind) => kind.replace(/ \S+ /, " "));
  assert.deepEqual([...new Set(ports)].sort(), ["tcp 80", "udp 53"]);
});

test("a step that is let out is seen: the same look at it is red", async () => {
  const guest = await server.guest();
  await using capture = await Capture.start([guest]);
  await server.run(
    "nft delete table inet hidden; getent hosts deb.debian.org; systemctl reload hidden",
  );
  assert.deepEqual(
    strays(await capture.end(guest), 0).map((kind) => kind.split(" ")[0]),
    ["udp"],
  );
});

test("nothing gets out while Tor stands still, nor over a reboot", async () => {
  const guest = await server.guest();
  await using capture = await Capture.start([guest]);
  await server.run(
    "systemctl stop tor@default; timeout 5 apt-get -q update; timeout 3 getent hosts deb.debian.org; timeout 3 ping -c 1 10.0.0.1; true",
  );
  await cloudApi.power(guest, "off");
  await cloudApi.power(guest, "on");
  await server.run("/usr/local/lib/mailfruit/tor-ready --wait 60");
  await client.untilFound("users", 465);
  await client.readMail(await client.writeMail());
  assert.deepEqual(strays(await capture.end(guest), 0), []);
});

test("nobody gets in by its address", async () => {
  const { ipv4, ipv6 } = server.outputs;
  const open = async (host: string, port: number) => {
    const socket = connectTcp({ host, port });
    const answer = await new Promise<boolean>((resolve) => {
      socket.once("connect", () => resolve(true));
      socket.once("error", () => resolve(false));
      socket.setTimeout(1500, () => resolve(false));
    });
    socket.destroy();
    return answer;
  };
  const ports = [22, 25, 465, 587, 993, 4190, 10025];
  const tries = [ipv4, ipv6].flatMap((host) => ports.map((port) => open(host, port)));
  assert.deepEqual(new Set(await Promise.all(tries)), new Set([false]));
});

test("`pulumi preview` and `pulumi up` work by its onion name alone, and ask DigitalOcean through Tor", async () => {
  const { host, port } = tor.socks;
  await using api = await tor.api();
  const env = { DIGITALOCEAN_API_URL: api.url, HTTP_PROXY: `socks5h://${host}:${port}` };
  const preview = await server.stack.preview({ env });
  assert.match(preview.stdout, /^Resources:\n +\d+ unchanged$/m);
  assert.deepEqual([...api.from], [tor.machine.ipv4], "by the exit, and from nowhere else");
  await server.stack.set("adminEmail", "postmaster@hidden.example");
  const { stdout } = await server.stack.up({ env });
  assert.match(stdout, /mail-host-users updated/);
  assert.match(stdout, /mail-host-prove updated/);
});
