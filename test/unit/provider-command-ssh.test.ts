// How the stand-in plugin for @pulumi/command reaches a server: waiting, host keys, private keys,
// proxies, and where secrets do not go. The server is in this process; OpenSSH's own is met in the
// system tests.
import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import ssh2 from "ssh2";
import { Plugin, type Properties, secret } from "./command/plugin.ts";
import { closedPort, SshServer } from "./command/ssh-server.ts";
import {
  canary,
  hostKey,
  newKey,
  pluginCommand,
  privateKey,
  userKey,
  World,
} from "./command/world.ts";

describe("reaching a server", () => {
  const world = new World();
  const create = (changes: Properties, timeout = 0) =>
    world.plugin.create({ connection: world.connection(changes), create: "print ok" }, { timeout });

  test("a refused port is tried again, then reported", async () => {
    const port = await closedPort();
    const log = await world.logOf(() =>
      assert.rejects(create({ port }), {
        message: `after 2 failed attempts: dial tcp 127.0.0.1:${port}: connect: connection refused`,
      }),
    );
    assert.deepEqual(
      log.map(({ message, ephemeral }) => [message, ephemeral]),
      [
        ["Dial 1/2 failed: retrying", true],
        ["Dial 2/2 failed: retrying", true],
      ],
    );
  });

  test("a server that comes up late is reached", async (t) => {
    const late = new SshServer(world.server.options);
    t.after(() => late.close());
    const port = await closedPort();
    const started = create({ port, dialErrorLimit: -1 });
    await sleep(300);
    await late.listen(port);
    assert.equal((await started).state.stdout, "ok");
  });

  test("a wrong host key is refused and nothing runs", async () => {
    const ran = await world.executions(() =>
      assert.rejects(create({ hostKey: newKey().public }), {
        message: "after 2 failed attempts: ssh: handshake failed: ssh: host key mismatch",
      }),
    );
    assert.deepEqual(ran, []);
  });

  test("a host key of another type is refused", async () => {
    const other = ssh2.utils.generateKeyPairSync("ecdsa", { bits: 256 });
    await assert.rejects(
      create({ hostKey: other.public }),
      // The server may be faster in breaking off.
      /ssh: handshake failed: (ssh: no common algorithm for host key; we offered: \[ecdsa-sha2-nistp256\]|.*reset by peer|EOF)/,
    );
  });

  test("the pinned key may have comment lines, a comment or a host name", async () => {
    for (const text of [`# mine\n\n${hostKey.public} me@home\n`, `mail.test ${hostKey.public}`]) {
      assert.equal((await create({ hostKey: text })).state.stdout, "ok");
    }
  });

  test("a pinned key that can't be read is reported at once", async () => {
    const before = world.server.connections;
    const start = /^failed to parse host key: ssh: no key found/;
    for (const text of ["", "nonsense", "ssh-ed25519 AAAA", "ssh-ed25519 ?!"]) {
      await assert.rejects(create({ hostKey: text }), ({ message }) => start.test(message));
    }
    assert.equal(world.server.connections, before);
  });

  test("a key that the server doesn't know is refused", async () => {
    await assert.rejects(create({ privateKey: newKey().private, dialErrorLimit: 0 }), {
      message:
        "after 0 failed attempts: ssh: handshake failed: ssh: unable to authenticate, attempted methods [none publickey], no supported methods remain",
    });
  });

  test("a name that doesn't exist is reported", async () => {
    await assert.rejects(
      create({ host: "no-such-name.invalid", dialErrorLimit: 0 }),
      /^Error: after 0 failed attempts: dial tcp: lookup no-such-name\.invalid/,
    );
  });

  test("customTimeouts end the waiting", async () => {
    const unlimited = { port: await closedPort(), dialErrorLimit: -1 };
    await assert.rejects(create(unlimited, 1), { message: "context deadline exceeded" });
  });
});

test("Ctrl-C ends the waiting for a server", async (t) => {
  const plugin = new Plugin("command:remote:Command");
  t.after(() => plugin.stop());
  await plugin.start(pluginCommand, { PATH: process.env.PATH });
  await plugin.configure();
  const server = { host: "127.0.0.1", port: await closedPort(), user: "root" };
  const connection = secret({ ...server, dialErrorLimit: -1, perDialTimeout: 15 });
  const running = plugin.create({ connection, create: "print ok" });
  const cancelled = sleep(200).then(() => plugin.cancel());
  await assert.rejects(running, { message: "context canceled" });
  await cancelled;
});

describe("logging in", () => {
  const keys = {
    "PKCS#8 Ed25519": generateKeyPairSync("ed25519").privateKey.export({
      format: "pem",
      type: "pkcs8",
    }),
    "PKCS#8 ECDSA": generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey.export({
      format: "pem",
      type: "pkcs8",
    }),
    "PKCS#1 RSA": generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey.export({
      format: "pem",
      type: "pkcs1",
    }),
  };
  const world = new World({ authorizedKey: undefined, password: "password" });
  const { plugin } = world;
  const create = (changes: Properties) =>
    plugin.create({ connection: world.connection(changes), create: "print ok" });

  for (const [format, key] of Object.entries(keys)) {
    test(`with a private key in ${format}`, async () => {
      assert.equal((await create({ privateKey: key.toString() })).state.stdout, "ok");
    });
  }

  test("with an encrypted private key, if its password is right", async () => {
    const login = { privateKey: newKey("open").private };
    assert.equal((await create({ ...login, privateKeyPassword: "open" })).state.stdout, "ok");
    await assert.rejects(create({ ...login, privateKeyPassword: "no" }), {
      message: "x509: decryption password incorrect",
    });
    await assert.rejects(create(login), {
      message: "ssh: this private key is passphrase protected",
    });
  });

  test("with a password", async () => {
    const server = { host: "127.0.0.1", port: world.server.port, user: "root" };
    const limits = { dialErrorLimit: 0, perDialTimeout: 15, hostKey: hostKey.public };
    const login = (password: string) =>
      plugin.create({ connection: secret({ ...server, ...limits, password }), create: "print ok" });
    assert.equal((await login("password")).state.stdout, "ok");
    await assert.rejects(login("wrong"), /attempted methods \[none password\]/);
  });

  test("by a proxy", async (t) => {
    const port = world.server.port;
    const bastion = new SshServer({ ...world.server.options, forwards: true });
    t.after(() => bastion.close());
    await bastion.listen();
    const server = { host: "127.0.0.1", user: "root", dialErrorLimit: 0, perDialTimeout: 15 };
    const proxy = { ...server, port: bastion.port, privateKey, hostKey: hostKey.public };
    assert.equal((await create({ port, proxy })).state.stdout, "ok");
    assert.equal(bastion.connections, 1);
    const closed = await closedPort();
    await assert.rejects(create({ proxy: { ...proxy, port: closed } }), {
      message: `proxy: after 0 failed attempts: dial tcp 127.0.0.1:${closed}: connect: connection refused`,
    });
  });

  test("an agent that isn't there is reported", async () => {
    await assert.rejects(create({ agentSocketPath: "/nowhere/agent" }), {
      message: "dial unix /nowhere/agent: connect: no such file or directory",
    });
  });
});

describe("where secrets do not go", () => {
  const world = new World();
  const { plugin } = world;

  test("a private key and a stdin are in no error, no log line and no public part of the state", async () => {
    const broken = privateKey.replace(/\n.{20}\n?$/m, `\n${canary}`);
    const garbage = `-----BEGIN OPENSSH PRIVATE KEY-----\n${canary}\n-----END OPENSSH PRIVATE KEY-----`;
    const cases: Properties[] = [
      {},
      { privateKey: canary },
      { privateKey: broken },
      { privateKey: garbage },
      { privateKey: garbage.replaceAll("OPENSSH ", "") },
      { privateKeyPassword: canary },
      { hostKey: newKey().public },
      { port: await closedPort() },
    ];
    const seen: string[] = [];
    for (const changes of cases) {
      const connection = world.connection({ ...changes, dialErrorLimit: 1 });
      const inputs = { connection, create: "print a\nexit 1", stdin: secret(canary) };
      await assert.rejects(plugin.create(inputs), ({ message }) => seen.push(message) > 0);
    }
    const inputs = { connection: world.connection(), create: "count", stdin: secret(canary) };
    const { state } = await plugin.create(inputs);
    const { connection, stdin, ...rest } = state;
    assert.deepEqual([connection, stdin], [inputs.connection, inputs.stdin]);
    const everything = JSON.stringify([seen, plugin.log, plugin.printed, rest]);
    assert.equal(seen.length, cases.length);
    assert.doesNotMatch(everything, new RegExp(canary));
    const keyLines = userKey.private.split("\n").filter((line) => /^[\w+/=]{16,}$/.test(line));
    for (const line of keyLines) assert.ok(!everything.includes(line), "a line of the key");
  });
});
