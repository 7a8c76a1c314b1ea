import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { afterEach, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { readMail } from "../../sandbox/world/reader.ts";
import { openStack, TestServer } from "./server.ts";

let alpha: TestServer;
before(async () => {
  alpha = await TestServer.up("alpha");
});

// What a test breaks is whole again for the next one, also where it failed.
afterEach(() =>
  alpha.run(
    "for program in postfix postconf; do test ! -e /usr/sbin/$program.real || mv /usr/sbin/$program.real /usr/sbin/$program; done; " +
      "! mountpoint -q /etc/postfix || umount /etc/postfix; ! mountpoint -q /tmp/full || umount /tmp/full; " +
      "test ! -e /root/hosts || { cat /root/hosts >/etc/hosts; rm /root/hosts; }",
  ),
);

async function exchangesMail(server: TestServer): Promise<void> {
  const subject = randomUUID();
  const { messageId } = await server.deliver({ subject });
  assert.equal((await readMail(server.mailbox(), messageId)).subject, subject);
}

/** A setting whose change makes the Postfix role run. */
let level = "required";
async function changePostfix(): Promise<void> {
  level = level === "required" ? "opportunistic" : "required";
  await alpha.stack.set("inboundTls", level);
}

test("a role whose check fails leaves the old files, touches no service, and shows the checker's words", async () => {
  await alpha.run(
    "mv /usr/sbin/postconf /usr/sbin/postconf.real; printf '#!/bin/sh\\necho \"postconf: fatal: canary words of the checker\" >&2; exit 1\\n' >/usr/sbin/postconf; chmod 755 /usr/sbin/postconf",
  );
  const before = await alpha.run(
    "sha256sum /etc/postfix/main.cf; systemctl show -p NRestarts,ActiveEnterTimestamp postfix; journalctl -u postfix -o cat --no-pager | grep -c Reload || true",
  );
  await changePostfix();
  const result = await alpha.stack.up({ allowFailure: true });
  assert.notEqual(result.code, 0);
  assert.match(result.stdout, /canary words of the checker/);
  assert.match(result.stdout, /The old files stand, no service was touched/);
  const after = await alpha.run(
    "sha256sum /etc/postfix/main.cf; systemctl show -p NRestarts,ActiveEnterTimestamp postfix; journalctl -u postfix -o cat --no-pager | grep -c Reload || true",
  );
  assert.equal(after, before);
  await alpha.run("mv /usr/sbin/postconf.real /usr/sbin/postconf");
  await exchangesMail(alpha);
  await alpha.up();
  await exchangesMail(alpha);
});

test("SSH lost in the middle: the server finishes by itself, and the next `up` goes on", async () => {
  await changePostfix();
  await slowApply();
  const running = alpha.stack.up({ allowFailure: true });
  await until(() => alpha.run("pgrep -f '[s]leep 7.77' || true"));
  await alpha.run("kill $(pidof sshd-session)");
  assert.notEqual((await running).code, 0);
  const { stdout } = await alpha.stack.up();
  assert.match(stdout, /updated/);
  await quickApply();
  await alpha.up();
  await exchangesMail(alpha);
});

test("a server that is rebooted in the middle is finished by the next `up`", async () => {
  await changePostfix();
  await slowApply();
  const running = alpha.stack.up({ allowFailure: true });
  await until(() => alpha.run("pgrep -f '[s]leep 7.77' || true"));
  await alpha.run("systemctl reboot --force --force || true").catch(() => "");
  assert.notEqual((await running).code, 0);
  await until(() => alpha.run("systemctl is-system-running | grep -e running -e degraded || true"));
  assert.match(
    await alpha.run("ls /var/lib/mailfruit"),
    /journal/,
    "the reboot fell into the transaction",
  );
  await quickApply();
  const { stdout } = await alpha.up();
  assert.match(stdout, /was cut off; its half-done changes are undone/);
  await exchangesMail(alpha);
});

test("an interrupted `up` is finished by the next one", async () => {
  await endInTheMiddle("SIGINT");
  await alpha.up();
  assert.match(
    await alpha.run("postconf -h smtpd_tls_security_level"),
    level === "required" ? /encrypt/ : /may/,
  );
  await exchangesMail(alpha);
});

test("an `up` that was killed leaves what docs/deploying.md says how to clear, and the next one finishes", async () => {
  await endInTheMiddle("SIGKILL");
  await alpha.stack.cancel();
  await alpha.up();
  await exchangesMail(alpha);
});

test("two `up`s at once: the second says that the stack is in use", async () => {
  await changePostfix();
  await slowApply();
  const first = alpha.stack.up();
  await until(() => alpha.run("pgrep -f '[s]leep 7.77' || true"));
  const second = await alpha.stack.up({ allowFailure: true });
  assert.notEqual(second.code, 0);
  assert.match(second.stdout + second.stderr, /locked/);
  await first;
  await quickApply();
});

test("two deployments of different people at once: the second waits on the server", async () => {
  const [first, second] = await Promise.all([
    alpha.run(`(flock 9; echo held; sleep 2) 9>/run/mailfruit.lock`),
    sleep(500).then(() =>
      alpha.run(
        `/usr/local/lib/mailfruit/apply`,
        `{role: nothing, files: {}, units: {}, revision: "1"}`,
      ),
    ),
  ]);
  assert.match(first, /held/);
  assert.match(second, /waiting: another deployment is at work/);
  await alpha.run("rm -f /var/lib/mailfruit/roles/nothing.json");
});

test("no room on the disk: nothing changes, a sentence says so, and a rerun heals", async () => {
  await alpha.run(
    "mkdir -p /tmp/full && mount -t tmpfs -o size=256k tmpfs /tmp/full && cp -a /etc/postfix /tmp/full/ && mount --bind /tmp/full/postfix /etc/postfix && { head -c 1M /dev/zero >/etc/postfix/ballast 2>/dev/null || true; }",
  );
  const before = await alpha.run("sha256sum /etc/postfix/main.cf");
  await changePostfix();
  const result = await alpha.stack.up({ allowFailure: true });
  assert.notEqual(result.code, 0);
  assert.match(result.stdout, /No space left on device/);
  assert.equal(await alpha.run("sha256sum /etc/postfix/main.cf"), before);
  await alpha.run("umount /etc/postfix /tmp/full");
  await alpha.up();
  await exchangesMail(alpha);
});

test("apt's mirror away: a sentence, and a rerun heals", async () => {
  await alpha.run("cp /etc/hosts /root/hosts; echo '127.0.0.9 deb.debian.org' >>/etc/hosts");
  const script = await alpha.stack
    .export()
    .then(({ deployment }) =>
      (deployment.resources ?? []).find(({ urn }) => urn.endsWith("::mail-host-packages")),
    );
  const stdin = script?.inputs?.stdin;
  assert.ok(typeof stdin === "string");
  const failure = await alpha.run("/bin/sh -s 2>&1", stdin).then(
    () => assert.fail("it went through"),
    (error: unknown) => String(error),
  );
  assert.match(failure, /the package lists could not be fetched from Debian's mirror/);
  await alpha.run("cat /root/hosts >/etc/hosts; rm /root/hosts; test ! -e /usr/sbin/policy-rc.d");
  assert.match(await alpha.run("/bin/sh -s 2>&1", stdin), /already the newest version/);
});

test("settings that are wrong are reported together, before anything is made", async () => {
  const stack = await openStack("wrong", {
    mailDomain: "wrong.example",
    serverHostname: "mail.elsewhere.example",
    debugg: "true",
    backups: "perhaps",
    "mailfriut:region": "fra1",
  });
  const { code, stdout } = await stack.preview({ allowFailure: true });
  assert.notEqual(code, 0);
  for (const mend of [
    "pulumi config set serverHostname mail.wrong.example",
    "pulumi config set debug false",
    "pulumi config set backups false",
    "pulumi config rm mailfriut:region",
  ])
    assert.ok(stdout.includes(mend), `${mend} is missing in:\n${stdout}`);
  assert.deepEqual((await stack.export()).deployment.resources ?? [], []);
  await stack.remove();
});

/** Ends an `up` while the Postfix role is being applied on the server. */
async function endInTheMiddle(signal: NodeJS.Signals): Promise<void> {
  await changePostfix();
  await slowApply();
  let pid = 0;
  const running = alpha.stack.up({
    allowFailure: true,
    onStart: (started) => {
      pid = started;
    },
  });
  await until(() => alpha.run("pgrep -f '[s]leep 7.77' || true"));
  process.kill(pid, signal);
  await running;
  await quickApply();
}

/** Makes `postfix check` take long, so that there is a middle to be lost in. */
async function slowApply(): Promise<void> {
  await alpha.run(
    'test -e /usr/sbin/postfix.real || mv /usr/sbin/postfix /usr/sbin/postfix.real; printf \'#!/bin/sh\\n[ "$1" != check ] || sleep 7.77\\nexec /usr/sbin/postfix.real "$@"\\n\' >/usr/sbin/postfix; chmod 755 /usr/sbin/postfix',
  );
}

async function quickApply(): Promise<void> {
  await alpha.run(
    "test ! -e /usr/sbin/postfix.real || mv /usr/sbin/postfix.real /usr/sbin/postfix",
  );
}

async function until(look: () => Promise<string>, seconds = 60): Promise<void> {
  const deadline = Date.now() + seconds * 1000;
  while (Date.now() < deadline) {
    if ((await look().catch(() => "")).trim() !== "") return;
    await sleep(200);
  }
  throw new Error(`nothing came within ${seconds} s`);
}
