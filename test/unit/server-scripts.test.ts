import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { suite, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { readTemplate, render } from "../../components/template.ts";
import { missing } from "./server/python.ts";
import { temporaryFolder } from "./server/temporary.ts";
import { until } from "./server/until.ts";

const fake = join(import.meta.dirname, "server", "fake-debian");
const trixie = 'PRETTY_NAME="Debian GNU/Linux 13 (trixie)"\nVERSION_ID="13"\nID=debian\n';
const plenty = "echo Avail; echo '   9000000'";

/** A Debian below a temporary folder, whose apt-get, dpkg and so on are scripts of the test. */
class FakeDebian implements Disposable {
  readonly root = temporaryFolder("debian");
  readonly policy = join(this.root, "policy-rc.d");

  constructor(programs: Record<string, string> = {}) {
    mkdirSync(join(this.root, "bin"));
    for (const name of [
      "apt-get",
      "debconf-set-selections",
      "dpkg",
      "dpkg-query",
      "df",
      "apt-config",
      "systemctl",
    ])
      this.#provide(
        name,
        {
          "debconf-set-selections": "cat >/dev/null",
          df: plenty,
          "dpkg-query": "exit 1",
          systemctl: "echo inactive",
        }[name] ?? "",
      );
    for (const [name, body] of Object.entries(programs)) this.#provide(name, body);
    writeFileSync(join(this.root, "os-release"), trixie);
  }

  #provide(name: string, body: string): void {
    const asked = name === "systemctl" ? '[ "$1" = is-active ] || exit 0\n' : "";
    writeFileSync(join(this.root, `${name}.sh`), asked + body);
    if (!existsSync(join(this.root, "bin", name))) symlinkSync(fake, join(this.root, "bin", name));
  }

  path = (name: string) => join(this.root, name);
  calls = () =>
    (existsSync(this.path("calls")) ? readFileSync(this.path("calls"), "utf8") : "").split("\n");

  start(script: string) {
    const here = script
      .replaceAll("/usr/sbin/policy-rc.d", this.policy)
      .replaceAll("/var/log/", `${this.root}/`)
      .replaceAll("/var/lib/mailfruit", this.path("state"))
      .replaceAll("/run/mailfruit.lock", this.path("lock"))
      .replaceAll("/etc/os-release", this.path("os-release"));
    const PATH = `${this.path("bin")}:${process.env.PATH}`;
    const child = spawn("/bin/sh", ["-s"], {
      env: { ...process.env, PATH, SERVER_ROOT: this.root },
    });
    child.stdin.end(here);
    return child;
  }

  async run(script: string) {
    const child = this.start(script);
    const ended = new Promise<number | null>((resolve) => child.on("close", resolve));
    const [status, out, err] = await Promise.all([ended, text(child.stdout), text(child.stderr)]);
    return { status, out, err };
  }

  [Symbol.dispose](): void {
    rmSync(this.root, { recursive: true, force: true });
  }
}

const packages = render(readTemplate("apply/packages.sh"), {
  packages: "postfix dovecot-core",
  units: "postfix.service",
  proxy: "",
});
const ready = readTemplate("apply/ready.sh").text;
const cannotRun = missing("flock", "util-linux");

suite("packages", { skip: cannotRun, concurrency: 2 }, () => {
  test("are brought to Debian's newest state and installed all in one go, without questions", async () => {
    using debian = new FakeDebian({ "apt-get": 'echo "apt says $DEBIAN_FRONTEND"' });
    const { status, out, err } = await debian.run(packages);
    assert.deepEqual({ status, err }, { status: 0, err: "" });
    assert.equal(out, "apt says noninteractive\n".repeat(2));
    const verbs = debian
      .calls()
      .filter((line) => line.startsWith("apt-get"))
      .map((line) => line.replaceAll(/ -o \S+/g, ""));
    assert.deepEqual(verbs, [
      "apt-get -q -y update",
      "apt-get -q -y --no-install-recommends full-upgrade postfix dovecot-core",
    ]);
  });

  test("start no daemon while they install, and may again afterwards", async () => {
    using debian = new FakeDebian({ "apt-get": 'set +e; ./policy-rc.d; echo "policy says $?"' });
    assert.equal((await debian.run(packages)).out, "policy says 101\n".repeat(2));
    assert.equal(existsSync(debian.policy), false);
  });

  test("restart a daemon that runs already when they upgrade it", async () => {
    using debian = new FakeDebian({
      "apt-get": 'set +e; ./policy-rc.d ssh.service restart; echo "policy says $?"',
      systemctl: 'case "$*" in *ssh.service) echo active ;; *) echo inactive ;; esac',
    });
    assert.equal((await debian.run(packages)).out, "policy says 0\n".repeat(2));
  });

  test("leave no daemon enabled that a reboot would start as Debian has it", async () => {
    using debian = new FakeDebian();
    await debian.run(packages);
    assert.match(debian.calls().join("\n"), /systemctl disable --quiet postfix\.service/);
  });

  test("don't overrule a policy of the machine's own, but one that a killed run left", async () => {
    using debian = new FakeDebian();
    writeFileSync(debian.policy, "#!/bin/sh\nexit 0\n");
    const { status, err } = await debian.run(packages);
    assert.equal(status, 1);
    assert.match(err, /^mailfruit: .*policy-rc\.d exists and is not ours/);
    assert.equal(readFileSync(debian.policy, "utf8"), "#!/bin/sh\nexit 0\n");
    assert.doesNotMatch(debian.calls().join(), /apt-get/);
    writeFileSync(
      debian.policy,
      "#!/bin/sh\n# written by mailfruit while it installs packages\nexit 101\n",
    );
    assert.equal((await debian.run(packages)).status, 0);
    assert.equal(existsSync(debian.policy), false);
  });

  test("whose mirror is away give apt's own words, then a sentence with what to do", async () => {
    for (const [verb, words] of [
      ["update", /package lists could not be fetched from Debian's mirror/],
      ["full-upgrade", /could not be upgraded, or the packages could not be installed/],
    ] as const) {
      using debian = new FakeDebian({
        "apt-get": `case "$*" in *${verb}*) echo "E: apt's own words"; exit 100 ;; esac`,
      });
      const { status, out, err } = await debian.run(packages);
      assert.equal(status, 1);
      assert.equal(out, "E: apt's own words\n");
      assert.match(err, words);
      assert.match(
        err,
        /^mailfruit: .*Run `pulumi up` again when this is mended; it goes on where it stopped\.\n$/,
      );
      assert.equal(existsSync(debian.policy), false);
    }
  });

  test("don't start as Debian has them at a reboot before their role is there, and only before that", async () => {
    using debian = new FakeDebian();
    await debian.run(packages);
    assert.ok(debian.calls().includes("systemctl disable --quiet postfix.service"));
    mkdirSync(debian.path("state/roles"), { recursive: true });
    rmSync(debian.path("calls"));
    await debian.run(packages);
    assert.doesNotMatch(debian.calls().join(), /disable/);
  });

  test("that a cut-off run left half installed are set up first", async () => {
    using debian = new FakeDebian({ dpkg: "echo half; exit 1" });
    const { status, out, err } = await debian.run(packages);
    assert.deepEqual([status, out], [1, "half\n"]);
    assert.match(err, /half installed could not be set up/);
    assert.doesNotMatch(debian.calls().join(), /apt-get/);
  });

  test("for which there is no room are not begun; those that are there already need none", async () => {
    const full = "echo Avail; echo '    500000'";
    using debian = new FakeDebian({ df: full });
    const { status, err } = await debian.run(packages);
    assert.equal(status, 1);
    assert.match(
      err,
      /no room on the server's disk: 488 MiB are free on \/, the packages need about 1464/,
    );
    assert.doesNotMatch(debian.calls().join(), /apt-get/);
    assert.equal(existsSync(debian.policy), false);
    using installed = new FakeDebian({ df: full, "dpkg-query": "exit 0" });
    assert.equal((await installed.run(packages)).status, 0);
  });

  test("that fill the disk are told by that, not by apt's riddle", async () => {
    using debian = new FakeDebian({
      df: "echo Avail; if [ -e full ]; then echo ' 20000'; else echo ' 9000000'; fi",
      "apt-get": "touch full; exit 100",
    });
    assert.match(
      (await debian.run(packages)).err,
      /no room on the server's disk: 19 MiB are free on \/\./,
    );
  });

  test("wait for Debian's own daily upgrade, and say so", async () => {
    using debian = new FakeDebian({
      systemctl:
        'if [ "$2" = apt-daily.service ] && [ ! -e asked ]; then touch asked; echo activating; else echo inactive; fi',
    });
    const { status, out } = await debian.run(packages);
    assert.deepEqual([status, out], [0, "waiting: Debian's own apt-daily.service is at work\n"]);
  });

  test("of a second deployment wait for the first, and say so", async () => {
    using debian = new FakeDebian({ "apt-get": "sleep 0.4" });
    const first = debian.run(packages);
    await sleep(200);
    const second = await debian.run(packages);
    assert.equal(second.status, 0);
    assert.equal(second.out, "waiting: another deployment is at work on this server\n");
    assert.equal((await first).status, 0);
  });

  test("are installed to the end when the SSH connection is lost", async () => {
    using debian = new FakeDebian({ "apt-get": "touch started; sleep 0.3; echo words" });
    const child = debian.start(packages);
    await until(() => existsSync(debian.path("started")));
    child.stdout.destroy();
    child.stderr.destroy();
    child.kill("SIGHUP");
    const code = await new Promise((resolve) => child.on("exit", resolve));
    assert.equal(code, 0);
    assert.match(debian.calls().join("\n"), /apt-get .* full-upgrade postfix dovecot-core/);
    assert.equal(existsSync(debian.policy), false);
  });
});

suite("a new machine", () => {
  test("that is Debian 13 is taken once cloud-init is done, also with warnings", async () => {
    using debian = new FakeDebian({ "cloud-init": "exit 2" });
    const { status, out } = await debian.run(ready);
    assert.deepEqual([status, out], [0, "Debian GNU/Linux 13 (trixie) is ready\n"]);
    assert.deepEqual(debian.calls(), ["cloud-init status --wait", ""]);
  });

  test("whose cloud-init failed is refused with its words", async () => {
    using debian = new FakeDebian({
      "cloud-init": '[ "$2" = --wait ] || echo "errors: no network"; exit 1',
    });
    const { status, err } = await debian.run(ready);
    assert.equal(status, 1);
    assert.match(err, /^mailfruit: cloud-init failed on this machine: errors: no network\n$/);
  });

  test("that is another system is refused by its name, and nothing is started on it", async () => {
    const others = [
      'ID=debian\nVERSION_ID="12"\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\n',
      'ID=ubuntu\nVERSION_ID="13"\nPRETTY_NAME="Ubuntu 13"\n',
      'ID=debian\nPRETTY_NAME="Debian GNU/Linux forky/sid"\n',
      "",
    ];
    for (const osRelease of others) {
      using debian = new FakeDebian({ "cloud-init": "" });
      writeFileSync(debian.path("os-release"), osRelease);
      const { status, err } = await debian.run(ready);
      const name = /PRETTY_NAME="(.*)"/.exec(osRelease)?.[1] ?? "an unknown system";
      assert.equal(status, 1);
      assert.equal(
        err,
        `mailfruit: this machine runs ${name}, and mailfruit needs Debian 13. Nothing on it was changed.\n`,
      );
      assert.deepEqual(debian.calls(), [""]);
    }
  });
});
