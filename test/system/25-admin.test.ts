// The administrator's commands against a server with Debian's own sshd.
import assert from "node:assert/strict";
import { Writable } from "node:stream";
import { before, test } from "node:test";
import { type Access, accessOf } from "../../admin/access.ts";
import { connect } from "../../admin/connect.ts";
import { root } from "../../sandbox/paths.ts";
import { run } from "../../sandbox/process.ts";
import { TestServer } from "./server.ts";

let alpha: TestServer;
before(async () => {
  alpha = await TestServer.up("alpha");
});

/** `npm run --silent mailfruit -- …`, as a person types it. */
const mailfruit = (args: string[], input = "") =>
  run("npm", ["run", "--silent", "mailfruit", "--", "--stack", "test-alpha", ...args], {
    cwd: root,
    input,
  });

test("npm run mailfruit lists the mailboxes of a stack's server", async () => {
  const { code, stdout } = await mailfruit(["user", "list", "--json"]);
  assert.equal(code, 0);
  assert.match(stdout, /"address": "test@alpha\.example"/);
});

test("what the server refuses has its words on stderr, and its exit code", async () => {
  const refused = await mailfruit(["user", "show", "nobody@alpha.example"]);
  assert.deepEqual(
    [refused.code, refused.stdout, refused.stderr],
    [1, "", "mailfruit: there is no mailbox nobody@alpha.example\n"],
  );
  assert.equal((await mailfruit(["user", "lsit"])).code, 2);
});

test("arguments arrive literally and run nothing on the server", async () => {
  const hostile = "a'b\"$(touch /pwned)`touch /pwned`;touch /pwned\n&|ü";
  const { code, stderr } = await mailfruit(["user", "show", hostile]);
  assert.equal(code, 1);
  assert.match(stderr, /^mailfruit: 'a\\'b"\$\(touch/);
  await alpha.run("! test -e /pwned");
});

test("a mailbox is made with a password from a pipe, and nobody on the server sees the password", async () => {
  const address = "piped@alpha.example";
  const watching = alpha.run(
    "until test -e /run/seen; do cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null; sleep 0.1; done; rm /run/seen",
  );
  const made = await mailfruit(["user", "add", address, "--password-stdin"], "correct horse 4711");
  await alpha.run("touch /run/seen");
  const seen = await watching;
  assert.equal(made.code, 0, made.stderr);
  assert.ok(seen.includes(`user\0add\0${address}`));
  assert.ok(!seen.includes("correct horse"));
  assert.equal((await mailfruit(["user", "delete", address, "--with-mail"])).code, 0);
});

test("--help says how to choose the stack, then what the server's program says", async () => {
  const { code, stdout } = await mailfruit(["--help"]);
  assert.equal(code, 0);
  assert.match(stdout, /--stack NAME[\s\S]*usage: mailfruit/);
});

test("a server with another host key than the stack's gets nothing", async () => {
  const logins = () => alpha.run("journalctl --unit ssh --grep Accepted --quiet | wc -l");
  const access = await accessOf("test-alpha");
  const before = await logins();
  await assert.rejects(connect({ ...access, hostKey: otherKey }), /another SSH host key/);
  assert.equal(await logins(), before);
});

const otherKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHUBLDlqhqzyWt0vUvyYrCvP+EBMv3hDsbtbPVZ1oOxJ";

test("a program's terminal has the size of ours and shows nothing of what is typed", async () => {
  const server = await connect(await accessOf("test-alpha"));
  const { channel, exitCode } = await server.open(["sh", "-c", "stty size; stty -a"], {
    pty: { cols: 77, rows: 11, modes: { ECHO: 0 } },
  });
  const shown = new Shown();
  channel.pipe(shown);
  channel.stderr.resume();
  assert.equal(await exitCode, 0);
  server.close();
  assert.match(shown.text, /^11 77\r\n[\s\S]* -echo /);
});

class Shown extends Writable {
  text = "";
  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    this.text += chunk.toString("utf8");
    done();
  }
}

test("a user with sudo does what root does", async () => {
  await alpha.run(
    "useradd --create-home --shell /bin/bash admin && echo 'admin ALL=(ALL) NOPASSWD:ALL' >/etc/sudoers.d/admin && install -d -o admin -m 700 /home/admin/.ssh && install -o admin -m 600 /root/.ssh/authorized_keys /home/admin/.ssh/",
  );
  try {
    const access: Access = { ...(await accessOf("test-alpha")), user: "admin" };
    const server = await connect(access);
    const stdout = new Shown();
    const streams = { stdin: "a\nb\n", stdout, stderr: process.stderr };
    assert.equal(await server.run(["sh", "-c", "id -u; cat; exit 3"], streams), 3);
    server.close();
    assert.equal(stdout.text, "0\na\nb\n");
  } finally {
    await alpha.run("userdel --force --remove admin 2>/dev/null; rm /etc/sudoers.d/admin");
  }
});
