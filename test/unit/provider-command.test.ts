// The stand-in plugin for @pulumi/command against an SSH server in this process. It shows what a
// program and its user get; that the engine calls the plugin in this way is shown by
// components/provider-command.test.ts, and with OpenSSH's server by the system tests.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { secret, unknownString } from "./command/plugin.ts";
import { canary, realPlugin, World } from "./command/world.ts";

const acceptEnv = ["LANGUAGE", "PULUMI_COMMAND_STDOUT"];

describe("a remote command's life", () => {
  const world = new World({ acceptEnv });
  const { plugin } = world;
  const connection = (changes = {}) => world.connection(changes);

  test("`create` runs once and its output is kept without the last line end", async () => {
    const inputs = { connection: connection(), create: "print one\nprint two\nwarn three" };
    const { id, state } = await plugin.create(inputs, { name: "role" });
    assert.match(id, /^role[0-9a-f]{8}$/);
    assert.deepEqual(state, { ...inputs, stdout: "one\ntwo", stderr: "three" });
  });

  test("without `create` nothing runs", async () => {
    const ran = await world.executions(async () => {
      const { state } = await plugin.create({ connection: connection() });
      assert.equal(state.stdout, "");
    });
    assert.deepEqual(ran, []);
  });

  test("a change runs `update` where there is one, else `create`", async () => {
    const old = { connection: connection(), create: "print c", update: "print u" };
    const state = { ...old, stdout: "c", stderr: "" };
    const ran = await world.executions(async () => {
      const both = await plugin.update(state, old, { ...old, stdin: "x" });
      assert.equal(both.stdout, "u");
      await plugin.update(state, old, { connection: connection(), create: "print c2" });
      const none = await plugin.update(state, old, { connection: connection(), stdin: "y" });
      assert.equal(none.stdout, "c", "the output stays if nothing runs");
    });
    assert.deepEqual(ran, ["print u", "print c2"]);
  });

  test("`delete` runs at the end, and nothing connects where there is none", async () => {
    const state = { connection: connection(), create: "print c", stdout: "", stderr: "" };
    const before = world.server.connections;
    await plugin.delete(state, state);
    assert.equal(world.server.connections, before);
    const ran = await world.executions(() =>
      plugin.delete({ ...state, delete: "print gone" }, { ...state, delete: "print gone" }),
    );
    assert.deepEqual(ran, ["print gone"]);
  });

  test("a run gets the output of the one before, unless the program says no", async () => {
    const old = { connection: connection(), create: "env" };
    const state = { ...old, stdout: "before", stderr: "" };
    const next = await plugin.update(state, old, { ...old, stdin: "x" });
    assert.equal(next.stdout, '{"PULUMI_COMMAND_STDOUT":"before"}');
    const off = await plugin.update(state, old, { ...old, addPreviousOutputInEnv: false });
    assert.equal(off.stdout, "{}");
  });

  test("a refused variable of the last output is a warning only", async () => {
    const old = { connection: connection(), create: "env" };
    const state = { ...old, stdout: "", stderr: "before" };
    const log = await world.logOf(() => plugin.update(state, old, { ...old, stdin: "x" }));
    const warning = log.find(({ severity }) => severity === "warning");
    assert.match(warning?.message ?? "", /^Unable to set 'PULUMI_COMMAND_STDERR'\. .*AcceptEnv/s);
    assert.equal(warning?.ephemeral, false);
  });

  test("`environment` reaches the command, and a variable that sshd refuses is an error", async () => {
    const inputs = { connection: connection(), create: "env", environment: { LANGUAGE: "de" } };
    assert.equal((await plugin.create(inputs)).state.stdout, '{"LANGUAGE":"de"}');
    const ran = await world.executions(() =>
      assert.rejects(plugin.create({ ...inputs, environment: { OTHER: "x" } }), {
        message: 'could not set environment variable "OTHER": ssh: setenv failed',
      }),
    );
    assert.deepEqual(ran, []);
  });

  test("a megabyte of stdin arrives whole", async () => {
    const stdin = "ä\n".repeat(350_000);
    const inputs = { connection: connection(), create: "count", stdin: secret(stdin) };
    const { state } = await plugin.create(inputs);
    assert.equal(state.stdout, String(Buffer.byteLength(stdin)));
    assert.deepEqual(state.stdin, secret(stdin), "a secret stays secret in the state");
  });

  test("a command that fails shows its command line and all its output", async () => {
    const create = 'print "out"\nwarn err\nexit 3';
    // Which of the two streams arrives first is not said.
    await assert.rejects(
      plugin.create({ connection: connection(), create }),
      /^Error: Process exited with status 3: running "print \\"out\\"\\nwarn err\\nexit 3":\n("out"\nerr|err\n"out")\n$/,
    );
  });

  test("a connection that ends under a command is an error with the output so far", async () => {
    await assert.rejects(
      plugin.create({ connection: connection(), create: "print half\nvanish" }),
      {
        message:
          'wait: remote command exited without exit status or exit signal: running "print half\\nvanish":\nhalf\n',
      },
    );
  });

  test("output that is no UTF-8 is refused, as the engine can't keep it", async () => {
    await assert.rejects(plugin.create({ connection: connection(), create: "bytes 61ff" }), {
      message: "grpc: error while marshaling: string field contains invalid UTF-8",
    });
  });
});

describe("what the user sees while a command runs", () => {
  const world = new World();
  const { plugin } = world;
  const create = "print one\nwarn two";
  const linesWith = async (logging?: string) => {
    const inputs = { connection: world.connection(), create, ...(logging && { logging }) };
    const log = await world.logOf(() => plugin.create(inputs, { name: "role" }));
    return log.map(({ message }) => message);
  };

  test("each line, below its resource, until the next one", async () => {
    const lines = "print one\nprint \nbytes 7468726565";
    const inputs = { connection: world.connection(), create: lines };
    const log = await world.logOf(() => plugin.create(inputs, { name: "role" }));
    const common = { severity: "info", ephemeral: true };
    const urn = "urn:pulumi:test::unit::command:remote:Command::role";
    const expected = ["one", "", "three"].map((message) => ({ ...common, urn, message }));
    assert.deepEqual(log, expected);
  });

  test("only what `logging` lets through", async () => {
    assert.deepEqual(await linesWith("stdout"), ["one"]);
    assert.deepEqual(await linesWith("stderr"), ["two"]);
    assert.deepEqual(await linesWith("none"), []);
  });

  test("a line on which the real plugin hangs is an error", {
    skip: realPlugin ? "the real plugin hangs" : false,
  }, async () => {
    const run = (bytes: number, logging: string) =>
      plugin.create({ connection: world.connection(), create: `repeat ${bytes}`, logging });
    await assert.rejects(run(65_536, "stdoutAndStderr"), /token too long.*the real plugin hangs/);
    await run(65_535, "stdoutAndStderr");
    await run(65_536, "none");
  });
});

describe("what a preview tells", () => {
  const world = new World();
  const { plugin } = world;
  const inputs = () => ({ connection: world.connection(), create: "print c", stdin: "a" });
  const state = () => ({ ...inputs(), stdout: "o", stderr: "e" });

  test("nothing connects, and the output is unknown", async () => {
    const before = world.server.connections;
    const { state: made } = await plugin.create(inputs(), { preview: true });
    assert.deepEqual([made.stdout, made.stderr], [unknownString, unknownString]);
    const next = { ...inputs(), stdin: "b" };
    const changed = await plugin.update(state(), inputs(), next, { preview: true });
    assert.deepEqual(changed, { ...next, stdout: unknownString, stderr: unknownString });
    assert.equal(world.server.connections, before);
  });

  test("values that only the run will know stay unknown", async () => {
    const news = { connection: secret({ host: unknownString }), create: "x", stdin: unknownString };
    const checked = await plugin.check(news);
    assert.deepEqual(checked.failures, []);
    assert.equal(checked.inputs.stdin, unknownString);
    const { state: made } = await plugin.create(checked.inputs, { preview: true });
    assert.equal(made.stdin, unknownString);
  });

  test("what stays the same is no change", async () => {
    const diff = await plugin.diff(state(), inputs(), inputs());
    assert.deepEqual(diff, { changes: "none", replaces: [], detailed: {} });
  });

  test("a changed stdin, command or environment is an update", async () => {
    const old = { ...inputs(), environment: { A: "1" } };
    const news = { ...old, stdin: "b", update: "u", environment: { A: "2" } };
    const diff = await plugin.diff({ ...state(), ...old }, old, news);
    assert.deepEqual(diff, {
      changes: "some",
      replaces: [],
      detailed: { stdin: "update", update: "add", "environment.A": "update" },
    });
  });

  test("of a changed connection no more than that", async () => {
    const news = {
      ...inputs(),
      connection: world.connection({ host: "192.0.2.1", password: "p" }),
    };
    const diff = await plugin.diff(state(), inputs(), news);
    assert.deepEqual(diff.detailed, { connection: "update" });
    assert.deepEqual(diff.replaces, []);
  });

  test("triggers that come or go replace", async () => {
    const come = await plugin.diff(state(), inputs(), { ...inputs(), triggers: ["a"] });
    assert.deepEqual(come.replaces, ["triggers"]);
    const old = { ...inputs(), triggers: ["a", "b"] };
    const go = await plugin.diff({ ...state(), ...old }, old, inputs());
    assert.deepEqual(go.replaces, ["triggers"]);
    // Of those that change, the SDK's replaceOnChanges makes the engine replace.
    const change = await plugin.diff({ ...state(), ...old }, old, { ...old, triggers: ["a", "c"] });
    assert.deepEqual(change.detailed, { "triggers[1]": "update" });
  });

  test("a refresh keeps the state and doesn't connect", async () => {
    const before = world.server.connections;
    const { state: kept } = await plugin.read(state(), inputs());
    assert.deepEqual(kept, state());
    assert.equal(world.server.connections, before);
  });
});

describe("what is refused before anything runs", () => {
  const { plugin } = new World();
  const reasons = async (news: Parameters<typeof plugin.check>[0]) =>
    (await plugin.check(news)).failures.map(({ reason }) => reason);

  test("defaults are filled in", async () => {
    const { inputs } = await plugin.check({
      connection: secret({ host: "h", dialErrorLimit: -1, proxy: { host: "p" } }),
    });
    const defaults = { user: "root", port: 22, perDialTimeout: 15 };
    const proxy = { ...defaults, dialErrorLimit: 10, host: "p" };
    const connection = secret({ ...defaults, host: "h", dialErrorLimit: -1, proxy });
    assert.deepEqual(inputs, { connection });
  });

  test("an unknown field of the connection, without showing the others", async () => {
    const connection = secret({ host: "h", privateKey: canary, hostkey: canary });
    const found = await reasons({ connection, create: "x" });
    assert.deepEqual(found, [
      "An error occurred decoding 'CommandInputs.connection': 1 failures decoding:\n\thostkey: Unrecognized field 'hostkey' on 'remote.Connection'",
    ]);
  });

  test("unknown properties, wrong types and what is missing", async () => {
    const owner = "'remote.CommandInputs'";
    const found = await reasons({ create: 1, environment: { A: 2 }, triggers: "x", other: 1 });
    assert.deepEqual(found.sort(), [
      `Field 'create' on ${owner} must be a 'string'; got 'float64' instead`,
      `Field 'environment[A] value' on ${owner} must be a 'string'; got 'float64' instead`,
      `Field 'triggers' on ${owner} must be a '[]interface {}'; got 'string' instead`,
      `Missing required field 'connection' on ${owner}`,
      `Unrecognized field 'other' on ${owner}`,
    ]);
    const nested = await reasons({ connection: { host: "h", proxy: { host: "p", port: "22" } } });
    assert.match(
      nested.join(),
      /'Connection\.proxy'.*'port' on 'remote\.ProxyConnection' must be a 'float64'/s,
    );
  });
});
