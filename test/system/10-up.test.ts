import assert from "node:assert/strict";
import { before, test } from "node:test";
import { steps, TestServer, touched } from "./server.ts";

let alpha: TestServer;
before(async () => {
  alpha = await TestServer.up("alpha");
});

const sshLogins = () =>
  alpha.run("journalctl -u ssh -o cat --no-pager | grep -c 'Accepted publickey' || true");
const reloads = async (unit: string) =>
  Number(
    await alpha.run(
      `journalctl -u ${unit} -o cat --no-pager | grep -c '^Reload\\(ed\\|ing\\)' || true`,
    ),
  );
const startedAt = (unit: string) => alpha.run(`systemctl show -p ExecMainStartTimestamp ${unit}`);

test("one `pulumi up` makes a server with its machine, its names and its services", async () => {
  const active = await alpha.run(
    "systemctl is-active postfix dovecot ssh srv-mail.mount apt-daily-upgrade.timer; hostname; cat /etc/mailname",
  );
  assert.deepEqual(active.trim().split("\n"), [
    ...Array(5).fill("active"),
    "mail.alpha.example",
    "mail.alpha.example",
  ]);
  assert.equal((await alpha.run("systemctl --failed --no-legend")).trim(), "");
});

test("only the ports that mail needs listen, and nothing listens for clear IMAP", async () => {
  const listening = await alpha.run(
    "ss -Hltn | awk '{print $4}' | grep -v -e '^127\\.' -e '^\\[::1\\]' | sed 's/.*://' | sort -nu",
  );
  assert.deepEqual(listening.trim().split("\n"), ["22", "25", "465", "587", "993", "4190"]);
});

test("a second `up` changes nothing and opens no SSH connection", async (t) => {
  const logins = await sshLogins();
  const began = performance.now();
  const { stdout } = await alpha.stack.up();
  t.diagnostic(`${((performance.now() - began) / 1000).toFixed(1)} s`);
  assert.deepEqual(Object.keys(steps(stdout)), ["unchanged"], stdout);
  assert.equal(await sshLogins(), logins);
});

test("a preview shows the changed line of the file on the server and the service that will reload", async () => {
  await alpha.stack.set("inboundTls", "opportunistic");
  const { stdout } = await alpha.stack.preview({ diff: true });
  assert.match(stdout, /-\s+smtpd_tls_security_level = encrypt/);
  assert.match(stdout, /\+\s+smtpd_tls_security_level = may/);
  assert.match(stdout, /~ revision\s*: .* => ".*reload postfix\.service"/);
  assert.doesNotMatch(stdout, /reload dovecot\.service/);
});

test("one changed setting runs one role, reloads its service only, and proves the mail path", async (t) => {
  const [postfix, dovecot, running] = [
    await reloads("postfix"),
    await reloads("dovecot"),
    await startedAt("dovecot"),
  ];
  const began = performance.now();
  const { stdout } = await alpha.stack.up();
  t.diagnostic(`${((performance.now() - began) / 1000).toFixed(1)} s`);
  assert.deepEqual(touched(stdout), ["mail-host-postfix", "mail-host-prove"], stdout);
  assert.match(stdout, /a mail went in by SMTP and out by IMAP/);
  assert.ok((await reloads("postfix")) > postfix);
  assert.equal(await reloads("dovecot"), dovecot);
  assert.equal(await startedAt("dovecot"), running);
});

test("the setting taken back is the server as it was", async () => {
  await alpha.stack.set("inboundTls", "required");
  await alpha.up();
  assert.match(await alpha.run("postconf -h smtpd_tls_security_level"), /^encrypt$/m);
});

test("a role that loses a file removes it from the server, and an edited file is put right", async () => {
  await alpha.run(
    "echo stray >/etc/postfix/stray.cf && echo '# edited' >>/etc/postfix/main.cf && python3 - <<'E'\n" +
      "import json; p='/var/lib/mailfruit/roles/postfix.json'; r=json.load(open(p)); r['files'].append('/etc/postfix/stray.cf'); json.dump(r, open(p,'w'))\nE",
  );
  await alpha.stack.set("inboundTls", "opportunistic");
  await alpha.up();
  await alpha.stack.set("inboundTls", "required");
  await alpha.up();
  assert.equal(
    await alpha.run(
      "test ! -e /etc/postfix/stray.cf && grep -c edited /etc/postfix/main.cf || true",
    ),
    "0\n",
  );
});
