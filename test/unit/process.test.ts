import assert from "node:assert/strict";
import { mkdtemp, readdir, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { writeFileAtomic } from "../../sandbox/files.ts";
import { withLock } from "../../sandbox/lock.ts";
import { Interrupted, mustRun, run } from "../../sandbox/process.ts";

test("a command's lines come as they are printed, the last one without its line end too", async () => {
  const lines: string[] = [];
  const result = await run("sh", ["-c", "echo one; echo two >&2; sleep 0.1; printf three"], {
    onLine: (line) => lines.push(line),
  });
  assert.deepEqual(lines.toSorted(), ["one", "three", "two"]);
  assert.equal(result.stdout, "one\nthree");
  assert.equal(result.stderr, "two\n");
});

test("a failing command's error has its exit code and its own words", async () => {
  await assert.rejects(mustRun("sh", ["-c", "echo because >&2; exit 3"]), {
    message: "sh -c echo because >&2; exit 3 failed (3):\nbecause",
  });
});

test("a command that isn't there is an error like any other", async () => {
  assert.equal((await run("/nonexistent/command", [])).code, 127);
});

test("a command that takes too long is ended with its children", async () => {
  const started = Date.now();
  const result = await run("sh", ["-c", "sleep 30 & wait"], { timeout: 0.3 });
  assert.equal(result.timedOut, true);
  assert.ok(Date.now() - started < 5000);
});

test("Ctrl-C reaches a command once, which ends tidily before we do", async () => {
  const script = 'trap "echo tidy" INT; for i in 1 2 3 4 5 6 7 8 9 10; do sleep 0.1; done';
  const lines: string[] = [];
  const running = run("sh", ["-c", script], {
    onLine: (line) => lines.push(line),
    onStart: () => {
      // As npm and the terminal do it: both.
      setTimeout(() => process.kill(process.pid, "SIGINT"), 200);
      setTimeout(() => process.kill(process.pid, "SIGINT"), 500);
    },
  });
  await assert.rejects(running, (error) => error instanceof Interrupted && error.exitCode === 130);
  assert.deepEqual(lines, ["tidy"]);
});

test("of two that want the same lock, the second says so and waits", async (t) => {
  const dir = await mkdtemp(join(tmpdir(), "mailfruit-"));
  t.after(() => rm(dir, { recursive: true }));
  const events: string[] = [];
  const take = (name: string) =>
    withLock(
      join(dir, "lock"),
      () => events.push(`${name} waits`),
      async () => {
        events.push(`${name} in`);
        await sleep(200);
        events.push(`${name} out`);
      },
    );
  const first = take("first");
  await sleep(100);
  await Promise.all([first, take("second")]);
  assert.deepEqual(events, ["first in", "second waits", "first out", "second in", "second out"]);
});

test("a lock is free again after its holder failed", async (t) => {
  const dir = await mkdtemp(join(tmpdir(), "mailfruit-"));
  t.after(() => rm(dir, { recursive: true }));
  const file = join(dir, "lock");
  await assert.rejects(withLock(file, assert.fail, () => Promise.reject(new Error("no"))));
  assert.equal(
    await withLock(
      file,
      () => {},
      async () => 1,
    ),
    1,
  );
});

test("a file has the mode that it was given, whatever the umask", async (t) => {
  const dir = await mkdtemp(join(tmpdir(), "mailfruit-"));
  const umask = process.umask(0o077);
  t.after(async () => {
    process.umask(umask);
    await rm(dir, { recursive: true });
  });
  await writeFileAtomic(join(dir, "run"), "#!/bin/sh\n", 0o755);
  assert.equal((await stat(join(dir, "run"))).mode & 0o777, 0o755);
});

test("a secret file is never readable by others and leaves nothing beside it", async (t) => {
  const dir = await mkdtemp(join(tmpdir(), "mailfruit-"));
  t.after(() => rm(dir, { recursive: true }));
  await writeFileAtomic(join(dir, "a"), "old");
  await writeFileAtomic(join(dir, "a"), "secret", 0o600);
  assert.equal(await readFile(join(dir, "a"), "utf8"), "secret");
  assert.equal((await stat(join(dir, "a"))).mode & 0o777, 0o600);
  assert.deepEqual(await readdir(dir), ["a"]);
});
