import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { inGuest } from "../../sandbox/cloud/shell.ts";
import type { ConfigValue } from "../../sandbox/stack-config.ts";
import type { TorNetwork } from "../../sandbox/world/tor.ts";
import { inNetwork, joinTor } from "../system/by-tor.ts";
import { Capture } from "../system/capture.ts";
import { openStack, TestServer } from "../system/server.ts";

// Every way of using Tor installs a server from nothing. Each is a new machine; times are beside the one in the clear.
// What this does not prove: that the public Tor network is as quick as the one in the sandbox.

let tor: TorNetwork;
before(async () => {
  tor = await joinTor();
});
after(() => {
  const clear = seconds.get("in the clear");
  for (const [way, time] of seconds)
    console.log(
      `${way}: ${time.toFixed(0)} s${clear ? `, ${(time / clear).toFixed(2)} of the clear` : ""}`,
    );
});

/** Seconds that `up` took. */
const seconds = new Map<string, number>();

interface Way {
  config: () => Record<string, ConfigValue>;
  /** What it may send after Tor is there, as Capture has it; null: anything. */
  only: (() => RegExp) | null;
  /** The service that, stopped, leaves it no way out; null where it needs none. */
  tor: "own" | "foreign" | null;
}

const address = () => tor.machine.ipv4.replaceAll(".", "\\.");
const ways: Record<string, Way> = {
  "in the clear": { config: () => ({ useTor: false }), only: null, tor: null },
  "a Tor of its own": {
    config: () => inNetwork(tor),
    only: () => new RegExp(`^tcp ${address()} 510[1-6]$`),
    tor: "own",
  },
  "a vanilla bridge": {
    config: () => ({ ...inNetwork(tor), torBridges: tor.bridges.vanilla }),
    only: () => new RegExp(`^tcp ${address()} 5107$`),
    tor: "own",
  },
  "an obfs4 bridge": {
    config: () => ({ ...inNetwork(tor), torBridges: tor.bridges.obfs4 }),
    only: () => new RegExp(`^tcp ${address()} 5206$`),
    tor: "own",
  },
  "a Tor elsewhere": {
    config: () => ({
      useTor: true,
      manageTor: false,
      torProxyUrl: `socks5h://${tor.socks.host}:${tor.socks.port}`,
      torMirror: "sources",
    }),
    only: () => new RegExp(`^tcp ${address()} 9050$`),
    tor: "foreign",
  },
};

/** Of a kind of packet: what goes to the machine that runs the test, to neighbours on the link, or asks the time. */
const ordinary =
  /^(arp|icmpv6 type (133|135|136|143)|protocol 0 \S+|tcp 10\.\d+\.0\.1 \d+|udp \S+ 123)$/;

for (const [way, { config, only, tor: whose }] of Object.entries(ways))
  test(`${way} installs the server${whose ? ", and with it stopped nothing is fetched" : ""}`, async () => {
    await using server = await disposable(way, config());
    const { guest, run } = server;
    if (only === null) {
      const found = await run(
        "ls -d /etc/tor /var/lib/tor /etc/apt/apt.conf.d/80tor 2>/dev/null; dpkg -l tor 2>/dev/null | grep ^ii; true",
      );
      assert.equal(found, "", "nothing of Tor is on the machine");
    } else {
      await using capture = await Capture.start([guest]);
      const fetched = await run(
        "apt-get -q clean; apt-get -q update -o APT::Update::Error-Mode=any && apt-get -q -y --reinstall --download-only install hostname >/dev/null && echo fetched",
      );
      assert.match(fetched, /fetched$/m);
      const kinds = Object.keys(await capture.end(guest)).filter((kind) => !ordinary.test(kind));
      assert.deepEqual(
        kinds.filter((kind) => !only().test(kind)),
        [],
      );
    }
    if (whose) await nothingIsFetched(run, whose);
  });

async function nothingIsFetched(
  run: (command: string) => Promise<string>,
  whose: "own" | "foreign",
) {
  const control = (verb: string) =>
    whose === "own"
      ? run(`systemctl ${verb} tor@default`)
      : tor.run(`systemctl ${verb} tor-node@client`);
  await control("stop");
  try {
    const said = await run('apt-get -q update -o APT::Update::Error-Mode=any 2>&1; echo "exit $?"');
    assert.doesNotMatch(said, /^exit 0$/m);
    assert.match(said, /downloads through Tor only/);
  } finally {
    if (whose === "foreign") await tor.newCircuits();
    else await control("start");
  }
}

/** A server from nothing, gone at the end. */
async function disposable(way: string, config: Record<string, ConfigValue>) {
  const name = "way";
  await (await openStack(name, config)).destroy();
  const started = Date.now();
  const server = await TestServer.up(name, config);
  seconds.set(way, (Date.now() - started) / 1000);
  const guest = await server.guest();
  return {
    guest,
    run: (command: string) => inGuest(guest, ["/bin/sh", "-c", command]),
    [Symbol.asyncDispose]: async () => void (await server.stack.destroy()),
  };
}
