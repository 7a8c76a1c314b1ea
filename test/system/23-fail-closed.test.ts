import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { after, afterEach, before, describe, test } from "node:test";
import { createTransport } from "nodemailer";
import { readMail } from "../../sandbox/world/reader.ts";
import { Dialogue } from "./dialogue.ts";
import { TestServer } from "./server.ts";

const password = "a long enough password";
const plugin = "/usr/lib/dovecot/modules/lib10_mail_crypt_plugin.so";

let alpha: TestServer;
let domain: string;
let anna: string;
before(async () => {
  alpha = await TestServer.up("alpha");
  domain = alpha.outputs.mailDomain;
  anna = `frank@${domain}`;
  // A test says itself when the check runs.
  await alpha.run("systemctl stop mailfruit-check.timer");
  await alpha.run(`mailfruit user add ${anna} --password-stdin`, password);
});
afterEach(repair);
after(async () => {
  await alpha.run(
    `mailfruit user delete ${anna} --with-mail; systemctl start mailfruit-check.timer`,
  );
});

/** What a test broke is whole again, also where it failed. */
async function repair(): Promise<void> {
  await alpha.run(
    "test ! -e /root/dovecot.conf.whole || mv /root/dovecot.conf.whole /etc/dovecot/dovecot.conf; " +
      `test ! -e ${plugin}.away || mv ${plugin}.away ${plugin}; ` +
      `test ! -e /root/attributes || mv /root/attributes ${home()}/dovecot-attributes; ` +
      "rm -f /run/systemd/system/dovecot.service.d/z-unchecked.conf; systemctl daemon-reload; " +
      "while findmnt -no FSTYPE /run/mail | grep -qvx tmpfs; do umount /run/mail; done; " +
      "systemctl reset-failed; systemctl start run-mail.mount mail-keys; systemctl restart dovecot; postqueue -f",
  );
}

const home = () => `/srv/mail/home/${domain}/frank`;

/** Changes Dovecot's configuration by sed(1). */
const edit = (...changes: string[]) =>
  alpha.run(
    "test -e /root/dovecot.conf.whole || cp -a /etc/dovecot/dovecot.conf /root/dovecot.conf.whole; " +
      `sed -i ${changes.map((change) => `-e '${change}'`).join(" ")} /etc/dovecot/dovecot.conf`,
  );

/** Starts Dovecot as an administrator would who won't listen. */
const startUnchecked = () =>
  alpha.run(
    "mkdir -p /run/systemd/system/dovecot.service.d; " +
      "printf '[Service]\\nExecStartPre=\\n' >/run/systemd/system/dovecot.service.d/z-unchecked.conf; " +
      "systemctl daemon-reload; systemctl restart dovecot",
  );

/** Runs what has to fail; its words, those in the journal of a unit included. */
async function refused(command: string, unit?: string): Promise<string> {
  const marked = `date '+%F %T.%6N' >/run/before; ${command} 2>&1 && echo went through`;
  const words = unit
    ? `; journalctl -q -u ${unit} -o cat --no-pager --since "$(cat /run/before)"`
    : "; true";
  const said = await alpha.run(`(${marked})${words}`);
  assert.doesNotMatch(said, /^went through$/m, command);
  return said;
}

/** Hands a mail to Dovecot as Postfix does; Dovecot's answer to it. */
async function lmtp(to: string, token: string): Promise<string> {
  return alpha
    .run(
      "python3 -",
      `import smtplib
with smtplib.LMTP("/run/dovecot/lmtp", timeout=20) as session:
    session.ehlo()
    session.mail("bert@outside.example")
    code, words = session.rcpt("${to}")
    if code == 250:
        code, words = session.data("Subject: ${token}\\r\\n\\r\\n${token}\\r\\n")
    print(code, words.decode())
`,
    )
    .catch(String);
}

const readable = (token: string) => alpha.run(`sync; grep -rl ${token} /srv/mail || true`);
const mails = (folder: string) =>
  alpha.run(`find ${folder} -name 'u.*' 2>/dev/null | wc -l`).then(Number);

/** A mail to a mailbox from another server, up to the answer to the recipient. */
async function atTheBorder(to: string): Promise<string> {
  const { ipv4: host, serverHostname: servername, ca } = alpha.outputs;
  const dialogue = await Dialogue.smtpOverTls({ host, port: 25, servername, ca });
  await dialogue.smtp("MAIL FROM:<bert@outside.example>");
  const answer = await dialogue.smtp(`RCPT TO:<${to}>`);
  dialogue.close();
  return answer;
}

const mailbox = (user = anna) => ({ ...alpha.mailbox(), user, password });
const isRunning = () =>
  alpha.run("systemctl is-active dovecot || true").then((state) => state.trim() === "active");

describe("mail waits for a mailbox that", () => {
  test("is invited: 450 at the border, 451 by LMTP, nothing stored", async () => {
    const iris = `iris@${domain}`;
    await alpha.run(`mailfruit user add ${iris} --invite`);
    try {
      assert.match(await atTheBorder(iris), /^450 4\.2\.1 /);
      assert.match(await atTheBorder(`iris+shop@${domain}`), /^450 4\.2\.1 /);
      const token = randomUUID();
      assert.match(await lmtp(iris, token), /^45\d /);
      assert.equal(await readable(token), "");
      assert.equal(await mails(`/srv/mail/home/${domain}/iris`), 0);
    } finally {
      await alpha.run(`mailfruit user delete ${iris} --with-mail`);
    }
  });

  test("is half made: 450 until `user passwd` makes its key", async () => {
    const half = `hal@${domain}`;
    await alpha.run("systemctl stop mail-keys");
    const said = await refused(`echo '${password}' | mailfruit user add ${half} --password-stdin`);
    assert.match(said, /Dovecot made no key for .*Mail for it waits/);
    try {
      assert.match(await atTheBorder(half), /^450 4\.2\.1 /);
      assert.match(await lmtp(half, randomUUID()), /^45\d /);
      await alpha.run("systemctl start mail-keys");
      assert.match(await alpha.run("mailfruit check"), new RegExp(`${half} has no key`));
      await alpha.run(
        `mailfruit user passwd ${half} --password-stdin`,
        `${password}\nanother password`,
      );
      assert.match(await atTheBorder(half), /^250 /);
      const token = randomUUID();
      assert.match(await lmtp(half, token), /^250 /);
      assert.equal(await readable(token), "");
    } finally {
      await alpha.run(`mailfruit user delete ${half} --with-mail`);
    }
  });

  test("lost its key: 451 by LMTP, the mail waits in the queue, and the check names the mailbox", async () => {
    await lmtp(anna, randomUUID());
    const stored = await mails(home());
    await alpha.run(`mv ${home()}/dovecot-attributes /root/attributes`);
    const token = randomUUID();
    assert.match(await lmtp(anna, token), /^451 /);
    assert.equal(await mails(home()), stored);
    assert.equal(await readable(token), "");
    const { messageId } = await alpha.deliver({ to: anna, subject: "waits" });
    await waitsInQueue();
    assert.match(await alpha.run("mailfruit check"), new RegExp(`${anna} has no key`));
    assert.match(await atTheBorder(anna), /^450 4\.2\.1 /);
    await repair();
    assert.equal((await readMail(mailbox(), messageId)).subject, "waits");
    await alpha.run("mailfruit check");
    assert.match(await atTheBorder(anna), /^250 /);
  });
});

/** Lists what the administrator was told, who is the test user here. */
const alarms = () => `doveadm search -u test@${domain} mailbox INBOX subject 'failed its check'`;

const waitsInQueue = () =>
  alpha.run(
    "for i in $(seq 100); do postqueue -j | grep -q delay_reason && exit; sleep 0.1; done; exit 1",
  );

/** Lines of the configuration without which mail or its subject would lie readable. */
const lost: [string, string, RegExp][] = [
  ["mail_crypt not in mail_plugins", "/^  mail_crypt = yes/d", /lacks `mail_crypt = yes`/],
  [
    "crypt_write_algorithm is empty",
    "s/^crypt_write_algorithm =.*/crypt_write_algorithm =/",
    /lacks `crypt_write_algorithm = /,
  ],
  ["crypt_user_key_curve is unset", "/^crypt_user_key_curve/d", /lacks `crypt_user_key_curve = /],
  [
    "keys needn't be locked",
    "s/^crypt_user_key_require_encrypted =.*/crypt_user_key_require_encrypted = no/",
    /lacks `crypt_user_key_require_encrypted = yes`/,
  ],
  [
    "the cache is on the disk",
    "s|^mail_cache_path =.*|mail_cache_path = ~/cache|",
    /lacks `mail_cache_path = \/run\/mail/,
  ],
  [
    "temporary files are on the disk",
    "s|^mail_temp_dir =.*|mail_temp_dir = /tmp|",
    /lacks `mail_temp_dir = \/run\/mail`/,
  ],
];

describe("Dovecot", () => {
  for (const [what, change, words] of lost)
    test(`doesn't take a configuration where ${what}; taken past the check, it stores nothing readable, and the check ends it`, async () => {
      await edit(change);
      assert.match(await refused("systemctl reload dovecot", "dovecot"), words);
      assert.ok(await isRunning());
      await alpha.run("doveadm reload; sleep 0.2");
      const token = randomUUID();
      const answer = await lmtp(anna, token);
      assert.match(answer, /^250 |^45\d /);
      assert.equal(await readable(token), "", answer);
      assert.match(await refused("mailfruit check"), words);
      assert.ok(!(await isRunning()));
      assert.match(await refused("systemctl start dovecot", "dovecot"), words);
      assert.match(await lmtp(anna, token), /Connection refused|No such file/);
    });

  test("without its plug-in delivers nothing and isn't started", async () => {
    await alpha.run(`mv ${plugin} ${plugin}.away`);
    const token = randomUUID();
    assert.match(await lmtp(anna, token), /^4\d\d |SMTPServerDisconnected/);
    assert.equal(await readable(token), "");
    await refused("mailfruit check");
    await refused("systemctl restart dovecot", "dovecot");
    assert.ok(!(await isRunning()));
  });

  test("isn't started where /run/mail is not in memory, and stops with it", async () => {
    await alpha.run("systemctl stop run-mail.mount");
    assert.ok(!(await isRunning()));
    await alpha.run("mkdir -p /srv/mail/other && mount --bind /srv/mail/other /run/mail");
    const words = /\/run\/mail.* is not in memory/;
    assert.match(await refused("systemctl start dovecot", "dovecot"), words);
    await repair();
    await alpha.run("mount --bind /srv/mail/other /run/mail; rmdir /srv/mail/other");
    assert.match(await refused("systemctl reload dovecot", "dovecot"), words);
    assert.match(await refused("mailfruit check"), words);
    assert.ok(!(await isRunning()));
  });

  test("without mail-keys.service lets nobody in, for the time being, and mail still comes encrypted", async () => {
    await alpha.run("systemctl stop mail-keys");
    const { ipv4: host, serverHostname: servername, ca } = alpha.outputs;
    const dialogue = await Dialogue.open({ host, port: 993, servername, ca, wrapped: true });
    await dialogue.line();
    const login = await dialogue.imap("a", `LOGIN ${anna} "${password}"`);
    assert.match(login, /^a NO \[UNAVAILABLE\]/m);
    dialogue.close();
    const transport = createTransport({
      ...{ host, port: 465, secure: true, tls: { servername, ca } },
      auth: { user: anna, pass: password },
    });
    // Postfix doesn't hear from Dovecot 2.4 that it is for the time being only, and says 535.
    await assert.rejects(transport.verify(), /454 4\.7\.0|535 5\.7\.8/);
    const token = randomUUID();
    const stored = await mails(home());
    assert.match(await lmtp(anna, token), /^250 /);
    assert.equal(await mails(home()), stored + 1);
    assert.equal(await readable(token), "");
  });
});

describe("a Dovecot that does store plain text", () => {
  test("is stopped by the check, which tells the administrator; mail waits, and comes after the repair", async () => {
    const told = Number(await alpha.run(`${alarms()} | wc -l`));
    await edit("/mail_crypt/d", "/crypt_/d");
    await startUnchecked();
    const token = randomUUID();
    assert.match(await lmtp(anna, token), /^250 /);
    assert.notEqual(await readable(token), "", "without all of it, mail is readable: the control");
    // The file is whole, the running Dovecot isn't: only a look at the disk tells.
    await alpha.run("cp -a /root/dovecot.conf.whole /etc/dovecot/dovecot.conf");
    const said = await refused("systemctl start mailfruit-check", "mailfruit-check");
    assert.match(said, /lies in plain text/);
    assert.ok(!(await isRunning()), said);
    // Postfix can't ask for the quota: mail waits at its sender, and the alarm in the queue.
    assert.match(await atTheBorder(anna), /^451 /);
    await waitsInQueue();
    await repair();
    await alpha.run(
      `for i in $(seq 100); do test $(${alarms()} | wc -l) -gt ${told} && exit; sleep 0.1; done; exit 1`,
    );
    const { messageId } = await alpha.deliver({ to: anna, subject: "after the repair" });
    assert.equal((await readMail(mailbox(), messageId)).subject, "after the repair");
  });

  test("is looked for every hour", async () => {
    await alpha.run("systemctl start mailfruit-check.timer");
    assert.match(
      await alpha.run(
        "systemctl show -p ActiveState,UnitFileState,TimersMonotonic mailfruit-check.timer",
      ),
      /OnUnitActiveUSec=1h[\s\S]*ActiveState=active[\s\S]*UnitFileState=enabled/,
    );
    await alpha.run("systemctl stop mailfruit-check.timer");
  });
});
