import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import {
  lstatSync,
  mkdirSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { suite, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { z } from "zod";
import { applyCannotRun, FakeServer, type RoleDocument } from "./server/apply.ts";
import { missing } from "./server/python.ts";
import { until } from "./server/until.ts";

const conf = "etc/app/app.conf";
const units = { "app.service": "reload" };
const one: RoleDocument = { files: { [conf]: "one\n" }, units };
const two: RoleDocument = { files: { [conf]: "two\n" }, units };

/** Every path below the server's state, relative to it. */
const state = (server: FakeServer) =>
  readdirSync(server.path("state"), { recursive: true, encoding: "utf8" }).sort();
const mode = (path: string) => (statSync(path).mode & 0o7777).toString(8);

suite("a role on the server", { skip: applyCannotRun, concurrency: 2 }, () => {
  test("lands with its texts, modes and directories, and its units run with them", async () => {
    using server = new FakeServer();
    const { status, out, err } = await server.apply({
      directories: { "srv/mail": { mode: "0700" } },
      files: { [conf]: "one\n", "etc/new/deep/key": { text: "no line end", mode: "0600" } },
      before: [`echo before >${server.path("order")}`],
      check: [`grep -q one ${server.path(conf)}`, `echo check >>${server.path("order")}`],
      after: [`echo after >>${server.path("order")}`],
      units,
    });
    assert.deepEqual({ status, err }, { status: 0, err: "" });
    assert.match(out, /^app:\n {2}wrote .*app\.conf\n/);
    assert.equal(server.read("etc/new/deep/key"), "no line end");
    assert.equal(mode(server.path("etc/new/deep/key")), "600");
    assert.equal(mode(server.path("srv/mail")), "700");
    assert.equal(server.read("order"), "before\ncheck\nafter\n");
    assert.equal(server.read("units/app.service.running"), "one\n");
    assert.deepEqual(server.systemctl(), ["enable --quiet app.service", "start app.service"]);
    assert.deepEqual(state(server), ["roles", "roles/app.json"]);
  });

  test("keeps texts byte for byte, whatever they look like", async () => {
    using server = new FakeServer();
    const texts = [
      "",
      "yes",
      "0640",
      "=",
      "<<",
      "null\n",
      " a\n\n",
      "a \n\tb\r\nc",
      "ä🍎\n",
      "# x\n---\n",
    ];
    const files = Object.fromEntries(texts.map((text, index) => [`etc/${index}`, text]));
    assert.equal((await server.apply({ files })).status, 0);
    assert.deepEqual(
      texts.map((_, index) => server.read(`etc/${index}`)),
      texts,
    );
  });

  test("the same text twice changes nothing and touches no unit", async () => {
    using server = new FakeServer();
    await server.apply(one);
    const before = [lstatSync(server.path(conf)).ino, server.systemctl()];
    const { status, out } = await server.apply(one);
    assert.deepEqual({ status, out }, { status: 0, out: "app: nothing to change\n" });
    assert.deepEqual([lstatSync(server.path(conf)).ino, server.systemctl()], before);
  });

  test("a unit that somebody stopped runs again, also where nothing else changes", async () => {
    using server = new FakeServer();
    await server.apply(one);
    rmSync(server.path("units/app.service.running"));
    const { status, out } = await server.apply(one);
    assert.equal(status, 0);
    assert.match(out, /^app: nothing to change\n {2}systemctl start app\.service\n$/);
    assert.equal(server.read("units/app.service.running"), "one\n");
  });

  test("a changed file reloads its unit; others keep running as they are", async () => {
    using server = new FakeServer();
    await server.apply(one);
    await server.apply({
      role: "other",
      files: { "etc/app/z.conf": "z\n" },
      units: { "z.service": "reload" },
    });
    const before = server.systemctl().length;
    await server.apply(two);
    assert.deepEqual(server.systemctl().slice(before), [
      "enable --quiet app.service",
      "reload app.service",
    ]);
    assert.equal(server.read("units/z.service.running"), "one\nz\n");
  });

  test("a changed mode alone is set right", async () => {
    using server = new FakeServer();
    await server.apply(one);
    await server.apply({ ...one, files: { [conf]: { text: "one\n", mode: "0600" } } });
    assert.equal(mode(server.path(conf)), "600");
  });

  test("a file that somebody changed by hand is set right by the next change of its role", async () => {
    using server = new FakeServer();
    const both = { ...one, files: { [conf]: "one\n", "etc/app/b.conf": "b\n" } };
    await server.apply(both);
    writeFileSync(server.path("etc/app/b.conf"), "by hand\n");
    await server.apply({ ...both, files: { ...both.files, [conf]: "two\n" } });
    assert.equal(server.read("etc/app/b.conf"), "b\n");
  });

  test("a link in a file's place is replaced, and what it pointed to left alone", async () => {
    using server = new FakeServer();
    writeFileSync(server.path("victim"), "untouched\n");
    symlinkSync(server.path("victim"), server.path(conf));
    assert.equal((await server.apply(one)).status, 0);
    assert.equal(lstatSync(server.path(conf)).isSymbolicLink(), false);
    assert.equal(server.read("victim"), "untouched\n");
    assert.match((await server.apply({ ...two, check: ["false"] })).err, /old files stand/);
    assert.equal(server.read(conf), "one\n");
  });

  test("a link is there again when the check refuses what replaced it", async () => {
    using server = new FakeServer();
    symlinkSync("elsewhere", server.path(conf));
    assert.equal((await server.apply({ ...one, check: ["false"] })).status, 1);
    assert.equal(lstatSync(server.path(conf)).isSymbolicLink(), true);
  });

  test("a unit is restarted where its own unit file or drop-in changed, after systemd has read it", async () => {
    using server = new FakeServer();
    const dropIn = "etc/systemd/system/app.service.d/x.conf";
    await server.apply({ ...one, files: { ...one.files, [dropIn]: "[Unit]\n" } });
    const before = server.systemctl().length;
    await server.apply({ ...one, files: { ...one.files, [dropIn]: "[Service]\n" } });
    assert.deepEqual(server.systemctl().slice(before), [
      "daemon-reload",
      "enable --quiet app.service",
      "restart app.service",
    ]);
  });

  test("a mount that is in use is never restarted", async () => {
    using server = new FakeServer();
    const mount = (text: string): RoleDocument => ({
      files: { ...one.files, "etc/systemd/system/srv-mail.mount": text },
      units: { "srv-mail.mount": "reload" },
    });
    await server.apply(mount("[Mount]\n"));
    await server.apply(mount("[Mount]\nOptions=noatime\n"));
    assert.equal(server.systemctl().at(-1), "reload srv-mail.mount");
  });

  test("reload-if-active leaves a unit alone that doesn't run yet", async () => {
    using server = new FakeServer();
    await server.apply({ ...one, units: { "later.service": "reload-if-active" } });
    assert.deepEqual(server.systemctl(), []);
  });

  test("a file that the role lost is removed, and comes back if the check refuses that", async () => {
    using server = new FakeServer();
    const both = { ...one, files: { ...one.files, "etc/app/gone.conf": "gone\n" } };
    await server.apply(both);
    const refused = await server.apply({
      ...one,
      check: [`test -e ${server.path("etc/app/gone.conf")}`],
    });
    assert.equal(refused.status, 1);
    assert.equal(server.read("etc/app/gone.conf"), "gone\n");
    assert.equal((await server.apply(one)).status, 0);
    assert.equal(server.read("etc/app/gone.conf"), null);
    assert.equal(server.read(conf), "one\n");
  });

  test("a file that moved to another role stays, whichever of them is applied first", async () => {
    using server = new FakeServer();
    const moved = { "etc/app/moved.conf": "moved\n" };
    await server.apply({ role: "a", files: { ...one.files, ...moved } });
    await server.apply({ role: "b", files: moved });
    await server.apply({ role: "a", files: one.files ?? {} });
    assert.equal(server.read("etc/app/moved.conf"), "moved\n");
  });

  test("a unit that the role lost is stopped while its file is still there, then the file goes", async () => {
    using server = new FakeServer();
    const own = { "etc/systemd/system/own-x.service": "[Service]\n" };
    await server.apply({
      files: { ...one.files, ...own },
      units: { ...units, "own-x.service": "restart" },
    });
    const { status, err } = await server.apply(one);
    assert.deepEqual({ status, err }, { status: 0, err: "" });
    assert.equal(server.read("units/own-x.service.running"), null);
    assert.equal(server.read("etc/systemd/system/own-x.service"), null);
  });
});

suite("bad luck", { skip: applyCannotRun, concurrency: 2 }, () => {
  test("a failed check leaves the old files and services, and shows the checker's own words", async () => {
    using server = new FakeServer();
    const own = { "etc/systemd/system/own-x.service": "[Service]\n" };
    await server.apply({
      files: { ...one.files, ...own },
      units: { ...units, "own-x.service": "restart" },
    });
    const before = server.systemctl();
    const { status, err } = await server.apply({
      files: { [conf]: "two\n", "etc/app/new.conf": "new\n" },
      check: ["echo 'app.conf line 7: no such thing' >&2; exit 3"],
      units,
    });
    assert.equal(status, 1);
    assert.match(
      err,
      /^mailfruit: role app was not applied: .* ended with status 3:\napp\.conf line 7: no such thing\n/,
    );
    assert.match(err, /The old files stand, no service was touched\.\n$/);
    assert.equal(server.read(conf), "one\n");
    assert.equal(server.read("etc/app/new.conf"), null);
    assert.equal(server.read("etc/systemd/system/own-x.service"), "[Service]\n");
    assert.deepEqual(server.systemctl(), before);
    assert.deepEqual(state(server), ["roles", "roles/app.json"]);
  });

  test("where the volume of mail is closed, a failure says so, and how to open it", async () => {
    using server = new FakeServer();
    const failing = { ...one, check: ["exit 1"] };
    const volume = (status: number) =>
      writeFileSync(
        join(server.root, "mail-volume"),
        `#!/bin/sh\necho "$1: closed; npm run unlock"\nexit ${status}\n`,
        { mode: 0o755 },
      );
    volume(3);
    assert.match((await server.apply(failing)).err, /\nstatus: closed; npm run unlock\n$/);
    volume(0);
    assert.doesNotMatch((await server.apply(failing)).err, /unlock/);
  });

  test("a unit that doesn't start with the new files runs again with the old ones", async () => {
    using server = new FakeServer();
    await server.apply({ ...one, units: { "app.service": "restart" } });
    const failed = await server.apply({
      files: { [conf]: "broken\n" },
      units: { "app.service": "restart" },
    });
    assert.equal(failed.status, 1);
    assert.match(
      failed.err,
      /Job for app\.service failed\..*the journal's last words.*old files stand again/s,
    );
    assert.equal(server.read(conf), "one\n");
    assert.equal(server.read("units/app.service.running"), "one\n");
    assert.equal((await server.apply({ ...two, units: { "app.service": "restart" } })).status, 0);
    assert.equal(server.read("units/app.service.running"), "two\n");
  });

  test("a unit that was retired runs again where another fails with the new files", async () => {
    using server = new FakeServer();
    await server.apply({ ...one, units: { ...units, "old.service": "restart" } });
    assert.equal((await server.apply({ files: { [conf]: "broken\n" }, units })).status, 1);
    assert.equal(server.read("units/old.service.running"), "one\n");
  });

  test("what was derived from the new files is derived from the old ones again", async () => {
    using server = new FakeServer();
    const after = [`cp ${server.path(conf)} ${server.path("derived")}`];
    await server.apply({ ...one, after });
    assert.equal((await server.apply({ files: { [conf]: "broken\n" }, units, after })).status, 1);
    assert.equal(server.read("derived"), "one\n");
  });

  test("a file of a user who doesn't exist is refused by that user's name, before anything is changed", async () => {
    using server = new FakeServer();
    const text = server.role(two).replaceAll(/owner: .*/g, "owner: no-such-user");
    const { status, err } = await server.apply(text);
    assert.equal(status, 1);
    assert.match(err, /a file of user no-such-user, who does not exist here/);
    assert.equal(server.read(conf), null);
  });

  test("a directory in a file's place is left alone, with a sentence", async () => {
    using server = new FakeServer();
    mkdirSync(server.path(conf));
    const { status, err } = await server.apply(one);
    assert.equal(status, 1);
    assert.match(err, /was not applied: .*Is a directory/);
    assert.deepEqual(state(server), ["roles"]);
  });

  test("a text that was cut off on the way changes nothing, and none of it is in the error", async () => {
    using server = new FakeServer();
    await server.apply(one);
    const whole = server.role({ files: { [conf]: 'canary "quoted\nmore\n' }, units });
    for (let end = 0; end < whole.indexOf("revision:"); end += 31) {
      const { status, err } = await server.apply(whole.slice(0, end));
      assert.equal(status, 1);
      assert.match(err, /^mailfruit: .* its text did not arrive whole; nothing was changed\n$/);
    }
    assert.equal(server.read(conf), "one\n");
  });

  test("a second deployment at the same time says that it waits, then does its work", async () => {
    using server = new FakeServer();
    const first = server.apply({ ...one, before: ["sleep 0.6"] });
    await sleep(250);
    const second = await server.apply(two);
    assert.equal((await first).status, 0);
    assert.equal(second.status, 0);
    assert.match(second.out, /^waiting: another deployment is at work on this server\napp:\n/);
    assert.equal(server.read(conf), "two\n");
  });

  test("a lost connection stops nothing: the work ends without a listener", async () => {
    using server = new FakeServer();
    const before = [`touch ${server.path("started")}; sleep 0.3`];
    const child = server.start(server.role({ ...one, before }));
    await until(() => server.read("started") !== null);
    child.stdout?.destroy();
    child.stderr?.destroy();
    child.kill("SIGHUP");
    const code = await new Promise((resolve) => child.on("exit", (status) => resolve(status)));
    assert.equal(code, 0);
    assert.equal(server.read("units/app.service.running"), "one\n");
    assert.deepEqual(state(server), ["roles", "roles/app.json"]);
  });

  test("a killed deployment is undone with a word about it, by whichever role comes next", async () => {
    using server = new FakeServer();
    await server.apply(one);
    const killed = server.start(server.role({ ...two, check: ["touch checking; sleep 20"] }), [], {
      cwd: server.root,
      detached: true,
    });
    await until(() => server.read("checking") !== null);
    assert.equal(server.read(conf), "two\n");
    if (killed.pid) process.kill(-killed.pid, "SIGKILL"); // the check too, as a power cut would
    const { status, out } = await server.apply({ role: "other", files: {} });
    assert.equal(status, 0);
    assert.match(out, /an earlier deployment of app was cut off; its half-done changes are undone/);
    assert.equal(server.read(conf), "one\n");
  });

  const cannotMount =
    process.getuid?.() === 0
      ? missing("unshare", "util-linux")
      : "This needs root: it mounts a small disk.";
  test("a full disk leaves the old files and a sentence, and a rerun with room heals", {
    skip: cannotMount,
  }, async () => {
    using server = new FakeServer();
    writeFileSync(server.path("one"), server.role(one));
    const big: RoleDocument = {
      ...two,
      files: { [conf]: "two\n", "etc/app/big.conf": "x".repeat(400_000) },
    };
    writeFileSync(server.path("big"), server.role(big));
    const script = `mount -t tmpfs -o size=200k disk etc
      mkdir -p etc/app etc/systemd/system; "$@" <one >/dev/null; before=$(ls -i etc/app)
      if "$@" <big >/dev/null 2>err; then false; fi; test "$before" = "$(ls -i etc/app)"
      ls -A etc/app; cat etc/app/app.conf; mount -o remount,size=2m etc; "$@" <big && wc -c <etc/app/big.conf`;
    const probe = [
      "/usr/bin/python3",
      `${import.meta.dirname}/server/apply-probe.py`,
      "run",
      server.root,
    ];
    const done = spawnSync("unshare", ["-m", "sh", "-eu", "-c", script, "sh", ...probe], {
      cwd: server.root,
      env: server.env,
      encoding: "utf8",
    });
    assert.match(done.stdout, /^app\.conf\none\napp:\n(.*\n)+400000\n$/, done.stderr);
    assert.match(
      server.read("err") ?? "",
      /No space left on device.*old files stand, no service was touched/s,
    );
    assert.deepEqual(state(server), ["roles", "roles/app.json"]);
  });
});

const crashes = z.strictObject({ steps: z.number(), wrong: z.array(z.unknown()) });

suite("kill -9 at every step", { skip: applyCannotRun, concurrency: 2 }, () => {
  /** With everything that a role can change. */
  const documents = (server: FakeServer) => {
    const after = [`cat ${server.path(conf)} >${server.path("derived")}`];
    const old: RoleDocument = {
      files: {
        [conf]: "one\n",
        "etc/app/mode.conf": "mode\n",
        "etc/app/gone.conf": "gone\n",
        "etc/systemd/system/own-x.service": "[Service]\n",
      },
      after,
      units: { "app.service": "reload", "own-x.service": "restart" },
    };
    const next: RoleDocument = {
      directories: { "srv/mail": { mode: "0700" } },
      files: {
        [conf]: "two\n",
        "etc/app/mode.conf": { text: "mode\n", mode: "0600" },
        "etc/app/new.conf": "new\n",
        "etc/systemd/system/app.service.d/x.conf": "[Unit]\n",
      },
      check: [`grep -q two ${server.path(conf)}`],
      after,
      units: { "app.service": "reload", "new.service": "restart" },
    };
    return { old, next };
  };
  const madeByNext =
    "mkdir -p srv/mail && chmod 700 srv/mail && mkdir -p etc/systemd/system/app.service.d";

  function assertHealed(result: unknown, least: number): void {
    const { steps, wrong } = crashes.parse(result);
    assert.ok(steps >= least, `only ${steps} steps`);
    assert.deepEqual(wrong, []);
  }

  test("the next run of the same role ends exactly as if nothing had happened", () => {
    using server = new FakeServer();
    const { old, next } = documents(server);
    assertHealed(server.crashEverywhere(old, next, next), 60);
  });

  test("going back to the old role ends exactly with that, and its services run with it", () => {
    using server = new FakeServer();
    const { old, next } = documents(server);
    // Directories that were made on the way stay, so they are there from the start.
    const before = [`cd ${server.root} && ${madeByNext}`];
    const sameUnits = { ...next, units };
    assertHealed(server.crashEverywhere({ ...old, before }, sameUnits, { ...old, before }), 60);
  });

  test("a run that puts old files back is itself killed, and the next run still ends right", () => {
    using server = new FakeServer();
    const { old, next } = documents(server);
    const refused = { ...next, check: ["false"] };
    assertHealed(server.crashEverywhere(old, refused, next), 40);
    using other = new FakeServer();
    const broken = { ...documents(other).next, files: { [conf]: "broken two\n" } };
    assertHealed(other.crashEverywhere(documents(other).old, broken, documents(other).next), 60);
  });

  test("a first deployment leaves nothing half-done either", () => {
    using server = new FakeServer();
    const { next } = documents(server);
    assertHealed(server.crashEverywhere({ role: "none" }, next, next), 40);
  });
});
