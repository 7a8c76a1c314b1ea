import assert from "node:assert/strict";
import { mkdtemp, rmdir } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { ImapFlow } from "imapflow";
import { createTransport } from "nodemailer";
import { command } from "../../sandbox/cloud/command.ts";
import { initOf } from "../../sandbox/cloud/guests.ts";
import { State } from "../../sandbox/cloud/state.ts";
import { paths } from "../../sandbox/paths.ts";
import { Canaries, compose } from "./canaries.ts";
import { cloudApi } from "./cloud.ts";
import { Dialogue } from "./dialogue.ts";
import { TestServer } from "./server.ts";

const password = "a long enough password";
const state = new State(paths.cloud);

let alpha: TestServer;
let domain: string;
let guest: number;
before(async () => {
  alpha = await TestServer.up("alpha");
  domain = alpha.outputs.mailDomain;
  guest = await alpha.guest();
  // It would stop the Dovecot of the control.
  await alpha.run("systemctl stop mailfruit-check.timer");
  for (const people of [encrypted, control]) await makePeople(people);
});
after(async () => {
  await restoreConfiguration();
  for (const people of [encrypted, control]) await removePeople(people);
  await alpha.run("systemctl start mailfruit-check.timer");
});

/** The same mail goes to both; to `control` while mail_crypt is taken out. */
const encrypted = { user: "ezra", narrow: "ezra-narrow", sender: "ezra-sender" };
const control = { user: "carl", narrow: "carl-narrow", sender: "carl-sender" };
type People = typeof encrypted;

const addresses = ({ user, narrow, sender }: People) =>
  [`${user}@${domain}`, `${narrow}@${domain}`, `${sender}@${domain}`] as const;

async function makePeople(people: People): Promise<void> {
  const [user, narrow, sender] = addresses(people);
  for (const address of [user, narrow, sender])
    await alpha.run(
      `mailfruit user add ${address} --quota ${address === narrow ? 1 : 100} --password-stdin`,
      password,
    );
  await alpha.run(
    `mailfruit alias add to-${user} ${user} && ` +
      // Taken at the border; nobody is behind it, so Postfix has to tell the sender.
      `mailfruit alias add gone-${user} nobody@mail.${domain} && ` +
      `doveadm mailbox create -u ${user} Shop`,
  );
  await alpha.run(`doveadm sieve put -u ${user} -a main`, filter);
}

async function removePeople(people: People): Promise<void> {
  const commands = [
    ...addresses(people).map((address) => `mailfruit user delete ${address} --with-mail`),
    ...["to", "gone"].map((alias) => `mailfruit alias delete ${alias}-${people.user}@${domain}`),
  ];
  await alpha.run(`${commands.join("; ")}; true`);
}

const filter = `require ["fileinto", "vacation"];
if header :is "x-way" "fileinto" { fileinto "Shop"; }
elsif header :is "x-way" "vacation" { vacation "I am away."; }
elsif header :is "x-way" "discard" { discard; }
elsif header :is "x-way" "failing" { fileinto "No/Such/Folder"; }
`;

/** How mail comes to lie somewhere; those of the second list are not kept. */
const kept = [
  ...["smtp", "submission", "append", "draft", "fileinto", "vacation", "failing"],
  ...["bounce", "detail", "alias", "warning", "large", "copied", "moved"],
];
const dropped = ["discard", "full"];

/** Mail with canaries to these people in every way, read and sorted by IMAP. */
async function deliverAll(people: People, canaries: Canaries): Promise<void> {
  const [user, narrow, sender] = addresses(people);
  const mail = (way: string, to: string, more: { from?: string; size?: number } = {}) =>
    compose(canaries.of(way), { way, to, ...more });
  const outside = (way: string) => `${canaries.of(way).address}@outside.example`;
  const smtp = async (way: string, to: string, more: { from?: string; size?: number } = {}) =>
    outsideServer().sendMail({
      envelope: { from: more.from ?? outside(way), to },
      raw: await mail(way, to, more),
    });

  for (const way of ["smtp", "fileinto", "discard", "failing", "copied", "moved"])
    await smtp(way, user);
  await smtp("detail", user.replace("@", "+shop@"));
  await smtp("alias", `to-${user}`);
  await smtp("large", user, { size: 3 * 2 ** 20 });
  await smtp("warning", narrow, { size: 700_000 });
  // The reply has to find somebody.
  await smtp("vacation", user, { from: sender });
  await submit(sender, user, await mail("submission", user, { from: sender }));
  const gone = `gone-${user}`;
  await submit(sender, gone, await mail("bounce", gone, { from: sender }));
  await queueIsEmpty();
  await assert.rejects(smtp("full", narrow, { size: 700_000 }), /552/);
  await readAll(user, canaries, await mail("append", user), await mail("draft", user));
  await readAll(narrow, canaries);
  await readAll(sender, canaries);
}

function outsideServer() {
  const { ipv4: host, serverHostname: servername, ca } = alpha.outputs;
  return createTransport({ host, port: 25, requireTLS: true, tls: { servername, ca } });
}

async function submit(from: string, to: string, raw: Buffer): Promise<void> {
  const { ipv4: host, serverHostname: servername, ca } = alpha.outputs;
  const auth = { user: from, pass: password };
  const transport = createTransport({
    host,
    port: 465,
    secure: true,
    auth,
    tls: { servername, ca },
  });
  await transport.sendMail({ envelope: { from, to }, raw });
}

async function queueIsEmpty(): Promise<void> {
  await alpha.run(
    "for i in $(seq 150); do postqueue -j | grep -q . || exit 0; sleep 0.1; done; postqueue -p; exit 1",
  );
}

/** What clients do: append, search, sort, thread, copy, move, and fetch all of it. */
async function readAll(
  user: string,
  canaries: Canaries,
  appended?: Buffer,
  draft?: Buffer,
): Promise<void> {
  const { ipv4: host, serverHostname: servername, ca } = alpha.outputs;
  const client = new ImapFlow({
    ...{ host, port: 993, secure: true, servername, tls: { ca }, logger: false },
    auth: { user, pass: password },
  });
  await client.connect();
  if (appended) await client.append("INBOX", appended);
  if (draft) await client.append("Drafts", draft, ["\\Draft"]);
  const session = await Dialogue.open({ host, port: 993, servername, ca, wrapped: true });
  await session.line();
  const ask = async (line: string) => {
    const answer = await session.imap("a", line);
    assert.match(answer, /^a OK /m, line);
    return answer;
  };
  await ask(`LOGIN ${user} "${password}"`);
  await ask("SELECT INBOX");
  for (const [way, verb] of [
    ["copied", "COPY"],
    ["moved", "MOVE"],
  ] as const) {
    const found = await ask(`SEARCH SUBJECT ${canaries.of(way).subject}`);
    const number = /^\* SEARCH (\d+)/m.exec(found)?.[1];
    if (number) await ask(`${verb} ${number} Archive`);
  }
  for (const folder of ["INBOX", "Drafts", "Archive", "Sent", "Shop"]) {
    if (!/^\* [1-9]\d* EXISTS/m.test(await session.imap("a", `SELECT ${folder}`))) continue;
    for (const kind of ["SUBJECT", "FROM", "BODY", "TEXT"])
      await ask(`SEARCH ${kind} ${canaries.mark}`);
    await ask("SORT (SUBJECT FROM) UTF-8 ALL");
    await ask("THREAD REFERENCES UTF-8 ALL");
    await ask("FETCH 1:* (FLAGS ENVELOPE BODYSTRUCTURE PREVIEW BODY.PEEK[TEXT]<0.2000>)");
    const lock = await client.getMailboxLock(folder);
    for await (const _ of client.fetch("1:*", { source: true }));
    lock.release();
  }
  session.close();
  await client.logout();
}

/** Which of the ways have left a mail that its owner can find, in any folder. */
async function waysThatCame(people: People, canaries: Canaries): Promise<string[]> {
  const { ipv4: host, serverHostname: servername, ca } = alpha.outputs;
  const came = new Set<string>();
  for (const address of addresses(people)) {
    const session = await Dialogue.open({ host, port: 993, servername, ca, wrapped: true });
    await session.line();
    await session.imap("a", `LOGIN ${address} "${password}"`);
    for (const folder of ["INBOX", "Drafts", "Archive", "Shop"]) {
      await session.imap("a", `SELECT ${folder}`);
      for (const way of [...kept, ...dropped]) {
        const answer = await session.imap("a", `SEARCH TEXT ${canaries.of(way).text}`);
        if (/^\* SEARCH \d/m.test(answer)) came.add(way);
      }
    }
    session.close();
  }
  return [...came].sort();
}

/** What of the guest is on a disk, from outside: what differs from the image, and its volume's files. */
async function onRunningDisks(canaries: Canaries): Promise<string[]> {
  await alpha.run("sync");
  const init = await initOf(state.guestDir(guest));
  const folders = [join(state.guestDir(guest), "upper"), `/proc/${init}/root/srv/mail`];
  return (await Promise.all(folders.map((folder) => canaries.below(folder)))).flat();
}

async function volumeFile(): Promise<string> {
  const volume = (await state.volumes()).find((candidate) => candidate.guest === guest);
  assert.ok(volume);
  return state.volumeFile(volume.id);
}

/** The same of one that is off, with its volume in somebody else's hands. */
async function onStoppedDisks(canaries: Canaries): Promise<string[]> {
  const folder = await mkdtemp(join(tmpdir(), "volume-"));
  await command("mount", ["-o", "ro,noload,loop", await volumeFile(), folder]);
  try {
    const upper = await canaries.below(join(state.guestDir(guest), "upper"));
    return [...upper, ...(await canaries.below(folder))];
  } finally {
    await command("umount", [folder]);
    await rmdir(folder);
  }
}

async function takeMailCryptOut(): Promise<void> {
  await alpha.run(
    "cp -a /etc/dovecot/dovecot.conf /root/dovecot.conf.whole; " +
      "sed -i -e '/mail_crypt/d' -e '/crypt_/d' -e '/mail_cache_path/d' -e '/mail_temp_dir/d' " +
      "  /etc/dovecot/dovecot.conf; " +
      "mkdir -p /run/systemd/system/dovecot.service.d; " +
      "printf '[Service]\\nExecStartPre=\\n' >/run/systemd/system/dovecot.service.d/z-unchecked.conf; " +
      "systemctl daemon-reload; systemctl restart dovecot",
  );
}

async function restoreConfiguration(): Promise<void> {
  await alpha.run(
    "test ! -e /root/dovecot.conf.whole || { mv /root/dovecot.conf.whole /etc/dovecot/dovecot.conf; " +
      "rm -f /run/systemd/system/dovecot.service.d/z-unchecked.conf; systemctl daemon-reload; " +
      "systemctl restart dovecot; }",
  );
}

describe("whoever holds the disk", () => {
  const canaries = new Canaries();

  test("has mail of every way before him, which its owner reads", async () => {
    await deliverAll(encrypted, canaries);
    assert.ok(canaries.count >= 50, `${canaries.count} canaries`);
    assert.deepEqual(await waysThatCame(encrypted, canaries), [...kept].sort());
    await queueIsEmpty();
  });

  test("finds none of it in any file while the server runs", async () => {
    assert.deepEqual(await onRunningDisks(canaries), []);
  });

  test("finds none of it in any file of the server that is off", async (t) => {
    await cloudApi.power(guest, "off");
    try {
      assert.deepEqual(await onStoppedDisks(canaries), []);
      const raw = await canaries.inFile(await volumeFile());
      t.diagnostic(`on free blocks of the volume: ${raw.size} of ${canaries.count} canaries`);
    } finally {
      await cloudApi.power(guest, "on");
      await serverIsUp();
    }
  });

  test("would find all of it without mail_crypt: the control", async (t) => {
    await takeMailCryptOut();
    const plain = new Canaries();
    await deliverAll(control, plain);
    assert.deepEqual(await waysThatCame(control, plain), [...kept].sort());
    const found = await onRunningDisks(plain);
    for (const way of kept)
      for (const part of ["subject", "text", "file", "content", "name"])
        assert.ok(
          found.some((line) => line.startsWith(`${way} ${part} in `)),
          `${part} of ${way}`,
        );
    const raw = await plain.inFile(await volumeFile());
    assert.ok(raw.size >= 5 * kept.length, `${raw.size} on the volume's blocks`);
    t.diagnostic(`${found.length} finds in files, ${raw.size} canaries on the volume's blocks`);
    await restoreConfiguration();
  });
});

describe("what stays in memory", () => {
  test("is on tmpfs: subjects for quick lists, which are never swapped, and the journal", async () => {
    const mounts = await alpha.run(
      "for path in /run/mail /run; do findmnt -no FSTYPE,OPTIONS $path; done",
    );
    assert.match(mounts, /^tmpfs .*\bnoswap\b.*\ntmpfs /);
    await readAll(`${encrypted.user}@${domain}`, new Canaries());
    const caches = `find /run/mail/cache/${domain}/${encrypted.user} -name 'dovecot.index.cache' | wc -l`;
    assert.ok(Number(await alpha.run(caches)) >= 1, "the cache that is on no disk is in memory");
    assert.equal(
      await alpha.run(
        `find /srv/mail/home/*/${encrypted.user} -name 'dovecot.index.cache' | wc -l`,
      ),
      "0\n",
    );
    const open = await alpha.run("readlink /proc/$(pidof systemd-journald)/fd/* | grep 'journal$'");
    assert.match(open, /^(\/run\/log\/journal\/.*\n)+$/);
  });

  test("names nobody on the disk: no log there has an address, and Dovecot leaves no temporary files", async () => {
    assert.equal(await alpha.run(`grep -rlF '@${domain}' /var/log || true`), "");
    assert.equal(
      await alpha.run("find /tmp/systemd-private-*-dovecot.service-* /var/tmp -type f"),
      "",
    );
    assert.match(
      await alpha.run("journalctl -u postfix -o cat --no-pager"),
      new RegExp(`@${domain}`),
    );
  });

  test("is written to no disk by swapping or by a crash", async () => {
    const services = ["postfix", "dovecot", "mail-keys", "mailfruit-check"];
    const shown = await alpha.run(
      `systemctl show -p Id,LimitCORE,LimitCORESoft,MemorySwapMax ${services.join(" ")}`,
    );
    for (const unit of shown.trim().split("\n\n"))
      for (const limit of ["LimitCORE=0", "LimitCORESoft=0", "MemorySwapMax=0"])
        assert.ok(unit.split("\n").includes(limit), unit);
    assert.match(await alpha.run("systemctl show -p MemorySwapMax systemd-journald"), /=0$/m);
    const crashed = await alpha.run(
      "touch /run/before; pid=$(pgrep -xo qmgr); kill -SEGV $pid; " +
        `kill -SEGV $(systemctl show -P MainPID dovecot); sleep 0.5; ` +
        "find / -xdev -newer /run/before -type f -name '*core*'; find /var/lib/systemd/coredump -type f; " +
        "systemctl reset-failed dovecot; systemctl restart dovecot",
    );
    assert.equal(crashed, "");
  });
});

async function serverIsUp(): Promise<void> {
  await alpha.run(
    "for i in $(seq 300); do test $(ss -Hltn 'sport = 25 or sport = 465 or sport = 993' | wc -l) -ge 3 && exit 0; " +
      "sleep 0.1; done; exit 1",
  );
}
