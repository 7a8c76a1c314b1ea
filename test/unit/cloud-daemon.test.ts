import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, beforeEach, describe, it } from "node:test";
import { Daemon } from "../../sandbox/cloud/daemon.ts";
import { identify, isAlive } from "../../sandbox/cloud/processes.ts";

const script = join(import.meta.dirname, "remembering-cloud.ts");

describe("the cloud's process", { skip: process.platform !== "linux" }, () => {
  const lines: string[] = [];
  const report = (line: string) => lines.push(line);
  let dir: string;
  let daemon: Daemon;

  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), "cloud-"));
    daemon = new Daemon(dir, [process.execPath, script, dir]);
    lines.length = 0;
  });
  afterEach(async () => {
    delete process.env.REMEMBERING_CLOUD;
    await daemon.stop(false, report);
    await rm(dir, { recursive: true });
  });

  it("is off until it is started, and off again after a stop", async () => {
    assert.equal(await daemon.endpoint(), undefined);
    const started = await daemon.start(report);
    assert.deepEqual(await daemon.endpoint(), started);
    assert.equal(started.resolverAddress, "10.64.0.53");
    await daemon.stop(true, report);
    assert.equal(await daemon.endpoint(), undefined);
    assert.ok(lines.includes("Guests are off."), lines.join("\n"));
  });

  it("tells what it does while it starts", async () => {
    await daemon.start(report);
    assert.equal(lines[0], "Starting the network, the DNS and the guests that were on.");
  });

  it("is started once, whoever asks at the same time", async () => {
    const [one, other] = await Promise.all([daemon.start(report), daemon.start(report)]);
    assert.equal(one.pid, other.pid);
    assert.equal((await daemon.start(report)).pid, one.pid);
  });

  it("keeps its address, token and objects over a restart", async () => {
    const first = await daemon.start(report);
    const headers = { authorization: `Bearer ${first.token}`, "content-type": "application/json" };
    const body = JSON.stringify({ name: "example.com" });
    await fetch(`${first.url}/v2/domains`, { method: "POST", headers, body });
    await daemon.stop(false, report);
    const second = await daemon.start(report);
    assert.equal(second.token, first.token);
    assert.equal(second.url, first.url);
    assert.notEqual(second.pid, first.pid);
    assert.equal((await fetch(`${second.url}/v2/domains/example.com`, { headers })).status, 200);
  });

  it("starts after it was killed, and with a pid file that a stranger's process answers to", async () => {
    const stranger = spawn("sleep", ["60"]);
    after(() => stranger.kill());
    const killed = await daemon.start(report);
    process.kill(killed.pid, "SIGKILL");
    const identity = identify(stranger.pid ?? 0);
    await writeFile(
      join(dir, "cloud.pid"),
      JSON.stringify({ ...identity, startTime: `${Number(identity.startTime) - 1}` }),
    );
    assert.equal(await daemon.endpoint(), undefined);
    await daemon.stop(false, report);
    assert.ok(isAlive(identity), "the stranger was not killed");
    assert.notEqual((await daemon.start(report)).pid, killed.pid);
  });

  it("says why it can't start", async () => {
    process.env.REMEMBERING_CLOUD = "broken";
    await assert.rejects(
      daemon.start(report),
      /cloud ended while it started; its log .*cloud\.log ends with:\n.*No network can be made\./,
    );
  });

  it("keeps its token and its objects from other users of the machine, and out of its log", async () => {
    const { token } = await daemon.start(report);
    for (const file of ["endpoint.json", "cloud.log"]) {
      assert.equal((await stat(join(dir, file))).mode & 0o077, 0, file);
    }
    assert.ok(!(await readFile(join(dir, "cloud.log"), "utf8")).includes(token));
  });
});
