import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { readMail } from "../../sandbox/world/reader.ts";
import { TestServer } from "./server.ts";

const password = "a long enough password";
let alpha: TestServer;
let address: string;
before(async () => {
  alpha = await TestServer.up("alpha");
  address = `ines@${alpha.outputs.mailDomain}`;
  await alpha.run(`mailfruit user add ${address} --password-stdin`, password);
});
after(() => alpha.run(`mailfruit user delete ${address} --with-mail`));

const mailbox = () => ({ ...alpha.mailbox(), user: address, password });

/** INBOX gets an index, and with it a number, of its own: what is locked is found no more. */
const loseIndex = () =>
  alpha.run(
    `rm /srv/mail/home/${alpha.outputs.mailDomain}/ines/mail/mailboxes/INBOX/dbox-Mails/dovecot.index* && ` +
      `doveadm force-resync -u ${address} INBOX 2>/dev/null; doveadm mailbox cryptokey list -u ${address} -U 2>/dev/null | grep -c yes || true`,
  );

test("after a lost index the check finds the mailbox's keys again: old mail can be read, new mail comes", async () => {
  const old = await alpha.deliver({ to: address, subject: "from before" });
  await readMail(mailbox(), old.messageId);
  assert.equal(await loseIndex(), "0\n");
  await assert.rejects(readMail(mailbox(), old.messageId, 2));
  assert.doesNotMatch(await alpha.run("mailfruit check"), new RegExp(address));
  await readMail(mailbox(), old.messageId);
  const fresh = await alpha.deliver({ to: address, subject: "from after" });
  await readMail(mailbox(), fresh.messageId);
});

test("where a new key was made before anybody noticed, `user repair` brings the old ones back beside it", async () => {
  const old = await alpha.deliver({ to: address, subject: "locked with the old key" });
  await readMail(mailbox(), old.messageId);
  await loseIndex();
  // A login that stores a mail is when Dovecot makes a key.
  await alpha.run(
    `printf '%s\\n%s' '${password}' '${password}2' | mailfruit user passwd ${address} --password-stdin`,
  );
  await alpha.run(
    `printf '%s\\n%s' '${password}2' '${password}' | mailfruit user passwd ${address} --password-stdin`,
  );
  const imap = `import imaplib, ssl; i = imaplib.IMAP4_SSL("${alpha.outputs.serverHostname}", 993, ssl_context=ssl.create_default_context(cafile="/etc/ssl/mail/ca.pem")); i.login("${address}", input()); i.append("INBOX", None, None, b"Subject: x\\r\\n\\r\\n")`;
  await alpha.run(`python3 -c '${imap}'`, password);
  await assert.rejects(readMail(mailbox(), old.messageId, 2));
  assert.match(
    await alpha.run(`mailfruit user repair ${address}`),
    /^[1-9]\d* keys of ines@.* are found again$/m,
  );
  await readMail(mailbox(), old.messageId);
  assert.match(await alpha.run(`mailfruit user repair ${address}`), /misses no key/);
});
