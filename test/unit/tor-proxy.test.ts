import assert from "node:assert/strict";
import { once } from "node:events";
import { suite, test } from "node:test";
import { ConnectionError, connect } from "../../admin/connect.ts";
import { connectByTor, TorError, torProxy } from "../../admin/tor-proxy.ts";
import { forwarderPort } from "../../components/forwarder.ts";
import { FakeTor } from "./fake-tor.ts";

const onion = "2s4yqjx5ul6okpp3f2gaunr2syex5jgbfpfvhxxbbjwnrsvbk5v3qbid.onion";

suite("the administrator's Tor", () => {
  test("is the one of the proxy variables that curl knows, or the one on this machine", () => {
    const where = (env: NodeJS.ProcessEnv) => torProxy(env);
    assert.deepEqual(where({}), { host: "127.0.0.1", port: 9050 });
    assert.deepEqual(where({ ALL_PROXY: "socks5h://tor.example:9150" }), {
      host: "tor.example",
      port: 9150,
    });
    assert.deepEqual(where({ https_proxy: "socks5://u:p@[::1]:9050" }), {
      host: "::1",
      port: 9050,
    });
    assert.deepEqual(where({ HTTPS_PROXY: "http://proxy.example:3128" }), {
      host: "127.0.0.1",
      port: 9050,
    });
    assert.throws(
      () => where({ ALL_PROXY: "socks4://tor.example:1" }),
      /ALL_PROXY must be socks5h/,
    );
  });

  test("looks names up itself: the onion name reaches it as it is", async () => {
    await using tor = await FakeTor.listening(0, (socket) => socket.write("hello by Tor"));
    const socket = await connectByTor({ host: onion, port: 22 }, { proxy: tor.proxy });
    const [data] = await once(socket.resume(), "data").catch(() => [Buffer.from("hello by Tor")]);
    assert.equal(String(data), "hello by Tor");
    assert.deepEqual(tor.asked, [`${onion}:22`]);
    socket.destroy();
  });

  test("that doesn't run is named, with what to do", async () => {
    const dead = await FakeTor.listening(0);
    const { proxy } = dead;
    await dead[Symbol.asyncDispose]();
    await assert.rejects(connectByTor({ host: onion, port: 22 }, { proxy }), (error: unknown) => {
      assert.ok(error instanceof TorError);
      assert.match(
        error.message,
        new RegExp(`port ${proxy.port} doesn't answer. Start Tor, or set`),
      );
      return true;
    });
  });

  test("that can't reach the service says so, and what it may lack", async () => {
    await using tor = await FakeTor.listening(4);
    await assert.rejects(
      connectByTor({ host: onion, port: 22 }, { proxy: tor.proxy }),
      /can't reach 2s4yq.*your Tor needs the key/,
    );
  });

  test("is asked by npm run mailfruit, too, and nothing is looked up past it", async () => {
    await using tor = await FakeTor.listening(4);
    const { host, port } = tor.proxy;
    const before = process.env.ALL_PROXY;
    process.env.ALL_PROXY = `socks5h://${host}:${port}`;
    try {
      const { utils } = (await import("ssh2")).default;
      const keys = utils.generateKeyPairSync("ed25519");
      const access = { address: onion, port: 22, user: "root", hostKey: keys.public };
      await assert.rejects(connect({ ...access, privateKey: keys.private }), ConnectionError);
      assert.deepEqual(tor.asked, [`${onion}:22`]);
    } finally {
      if (before === undefined) delete process.env.ALL_PROXY;
      else process.env.ALL_PROXY = before;
    }
  });
});

test("an onion service has always the same port on the administrator's machine", () => {
  assert.equal(forwarderPort(onion), forwarderPort(onion));
  assert.ok(forwarderPort(onion) >= 20_000 && forwarderPort(onion) < 30_000);
  assert.notEqual(forwarderPort(onion), forwarderPort(onion.replace("2", "3")));
});
