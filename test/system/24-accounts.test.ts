import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { z } from "zod";
import { readMail } from "../../sandbox/world/reader.ts";
import { Dialogue } from "./dialogue.ts";
import { TestServer } from "./server.ts";

const password = "a long enough password";
const scripts = join(import.meta.dirname, "guest");

let alpha: TestServer;
let domain: string;
before(async () => {
  alpha = await TestServer.up("alpha");
  domain = alpha.outputs.mailDomain;
});
after(async () => {
  const names = ["ada", "bea", "cleo", "dora", "ella", "fay", "gina", "hedy", "ines", "jane"];
  const users = names.map((name) => `mailfruit user delete ${address(name)} --with-mail`);
  const aliases = [`all@${domain}`, `bea+shop@${domain}`, `@${domain}`].map(
    (alias) => `mailfruit alias delete ${alias}`,
  );
  await alpha.run(`(${[...users, ...aliases].join("; ")}) >/dev/null 2>&1; true`);
});

const address = (name: string) => `${name}@${domain}`;

/** Runs `mailfruit ARGS --json`, with lines for its questions. */
async function mailfruit(args: string, ...answers: string[]): Promise<Record<string, unknown>> {
  const stdin = answers.length > 0 ? "--password-stdin" : "";
  const printed = await alpha.run(`mailfruit ${args} --json ${stdin}`, answers.join("\n"));
  return z.record(z.string(), z.unknown()).parse(JSON.parse(printed));
}

/** Why it is refused. */
async function refused(args: string, ...answers: string[]): Promise<string> {
  const stdin = answers.length > 0 ? "--password-stdin" : "";
  return alpha.run(`! mailfruit ${args} ${stdin} 2>&1`, answers.join("\n"));
}

const addUser = (name: string, more = "") =>
  mailfruit(`user add ${address(name)} ${more}`, password);
const mailbox = (name: string, secret = password) => ({
  ...alpha.mailbox(),
  user: address(name),
  password: secret,
});

async function imap(
  name: string,
  secret = password,
): Promise<{ dialogue: Dialogue; answer: string }> {
  const { ipv4: host, serverHostname: servername, ca } = alpha.outputs;
  const dialogue = await Dialogue.open({ host, port: 993, servername, ca, wrapped: true });
  await dialogue.line();
  return { dialogue, answer: await dialogue.imap("a", `LOGIN ${address(name)} "${secret}"`) };
}

async function canLogIn(name: string, secret = password): Promise<boolean> {
  const { dialogue, answer } = await imap(name, secret);
  dialogue.close();
  return /^a OK /m.test(answer);
}

function smtp(): Promise<Dialogue> {
  const { ipv4: host, serverHostname: servername, ca } = alpha.outputs;
  return Dialogue.smtpOverTls({ host, port: 25, servername, ca });
}

/** A mail up to the answer to its recipient. */
async function recipient(to: string, size = ""): Promise<string> {
  const dialogue = await smtp();
  await dialogue.smtp(`MAIL FROM:<bert@outside.example>${size}`);
  const answer = await dialogue.smtp(`RCPT TO:<${to}>`);
  dialogue.close();
  return answer;
}

describe("an invitation", () => {
  test("makes mail wait until its owner has chosen a password, and is good once", async () => {
    const { invitation } = await mailfruit(`user add ${address("ada")} --invite`);
    assert.ok(typeof invitation === "string");
    assert.match(await recipient(address("ada")), /^450 4\.2\.1 /);
    assert.ok(!(await canLogIn("ada")));
    assert.match(
      await refused(`user accept ${address("ada")}`, "aaaa-bbbb", password),
      /no invitation of/,
    );
    const { recovery_key } = await mailfruit(`user accept ${address("ada")}`, invitation, password);
    assert.match(String(recovery_key), /^([a-z2-7]{4}-){6}[a-z2-7]{4}$/);
    assert.match(
      await refused(`user accept ${address("ada")}`, invitation, "another password"),
      /or it was used already/,
    );
    const { messageId } = await alpha.deliver({ to: address("ada"), subject: "welcome" });
    assert.equal((await readMail(mailbox("ada"), messageId)).subject, "welcome");
  });
});

describe("passwords", () => {
  test("one for a device opens the same mail, more quickly, until it is taken back", async (t) => {
    await addUser("bea");
    const { messageId } = await alpha.deliver({ to: address("bea"), subject: "for all devices" });
    await readMail(mailbox("bea"), messageId);
    const { password: phone } = await mailfruit(`app add ${address("bea")} phone`, password);
    assert.ok(typeof phone === "string");
    assert.equal((await readMail(mailbox("bea", phone), messageId)).subject, "for all devices");
    t.diagnostic(
      `a login takes ${await loginTime("bea", password)} ms, by the app password ${await loginTime("bea", phone)} ms`,
    );
    assert.match(
      await refused(`user passwd ${address("bea")}`, phone, "another password"),
      /not the password/,
    );
    const { dialogue } = await imap("bea", phone);
    await mailfruit(`app delete ${address("bea")} phone`);
    await assert.rejects(dialogue.imap("b", "NOOP"), /hung up/);
    assert.ok(!(await canLogIn("bea", phone)));
    assert.ok(await canLogIn("bea"));
  });

  test("a lost one: the recovery key sets another and opens the old mail", async () => {
    const { recovery_key: key } = await addUser("cleo");
    const { messageId } = await alpha.deliver({ to: address("cleo"), subject: "from before" });
    await readMail(mailbox("cleo"), messageId);
    const typed = String(key).toUpperCase().replaceAll("-", " ").replaceAll("O", "0");
    assert.match(
      await refused(`user recover ${address("cleo")}`, "aaaa-bbbb", "new password of cleo"),
      /not the recovery key/,
    );
    await mailfruit(`user recover ${address("cleo")}`, typed, "new password of cleo");
    assert.ok(!(await canLogIn("cleo")));
    const mail = await readMail(mailbox("cleo", "new password of cleo"), messageId);
    assert.equal(mail.subject, "from before");
  });

  test("without password and recovery key old mail is lost, which is said first", async () => {
    await addUser("dora");
    const { messageId } = await alpha.deliver({ to: address("dora"), subject: "lost" });
    await readMail(mailbox("dora"), messageId);
    assert.match(
      await refused(`user reset ${address("dora")}`),
      /lost for ever; nothing was changed[\s\S]*--lose-mail/,
    );
    await readMail(mailbox("dora"), messageId);
    const { invitation } = await mailfruit(`user reset ${address("dora")} --lose-mail`);
    assert.match(await recipient(address("dora")), /^450 /);
    await mailfruit(`user accept ${address("dora")}`, String(invitation), "new password of dora");
    await assert.rejects(
      readMail(mailbox("dora", "new password of dora"), messageId, 1),
      /has not come/,
    );
    const { messageId: next } = await alpha.deliver({ to: address("dora"), subject: "anew" });
    await readMail(mailbox("dora", "new password of dora"), next);
  });

  test("killed at 100 random instants of a change, one of the two opens the mail, never both and never none", async (t) => {
    for (const name of ["ella", "fay"]) await addUser(name);
    const ids: string[] = [];
    for (const name of ["ella", "fay"])
      ids.push(
        (await alpha.deliver({ to: address(name), subject: "older than the change" })).messageId,
      );
    const script = readFileSync(join(scripts, "kill-passwd.py"), "utf8");
    const last = await Promise.all(
      ["ella", "fay"].map((name) => alpha.run(`python3 - ${address(name)} 50`, `${script}\n`)),
    );
    for (const [index, name] of ["ella", "fay"].entries()) {
      const [final = "", changed] = (last[index] ?? "").trim().split("\n");
      t.diagnostic(`${name}: ${changed}`);
      const mail = await readMail(mailbox(name, final), ids[index] ?? "");
      assert.equal(mail.subject, "older than the change");
    }
  });

  test("a closed account ends its sessions and gets its mail all the same", async () => {
    await addUser("gina");
    const { dialogue } = await imap("gina");
    await mailfruit(`user disable ${address("gina")}`);
    await assert.rejects(dialogue.imap("b", "NOOP"), /hung up/);
    assert.ok(!(await canLogIn("gina")));
    const { messageId } = await alpha.deliver({ to: address("gina"), subject: "meanwhile" });
    await mailfruit(`user enable ${address("gina")}`);
    assert.equal((await readMail(mailbox("gina"), messageId)).subject, "meanwhile");
  });
});

describe("a full mailbox", () => {
  test("is refused at the border under each of its names, and its owner is told once at 90 %", async () => {
    await addUser("hedy", "--quota 1");
    await mailfruit(`alias add ${address("all")} ${address("hedy")}`);
    const text = "x".repeat(70).concat("\n").repeat(13_600);
    const { messageId } = await alpha.deliver({
      to: address("hedy"),
      subject: "nearly full",
      text,
    });
    await readMail(mailbox("hedy"), messageId);
    for (const to of ["hedy", "all", "hedy+shop", "HEDY"])
      assert.match(await recipient(address(to), " SIZE=200000"), /^552 5\.2\.2 /, to);
    assert.match(await recipient(address("hedy"), " SIZE=2000"), /^250 /);
    for (const to of ["hedy", "all", "hedy+shop"]) {
      const dialogue = await smtp();
      await dialogue.smtp("MAIL FROM:<bert@outside.example>");
      assert.match(await dialogue.smtp(`RCPT TO:<${address(to)}>`), /^250 /);
      await dialogue.smtp("DATA");
      const big = `Subject: big\r\n\r\n${"x".repeat(70).concat("\r\n").repeat(3000)}.`;
      assert.match(await dialogue.smtp(big), /^552 5\.2\.2 /, to);
      dialogue.close();
    }
    const { used_kib: used } = await mailfruit(`user show ${address("hedy")}`);
    assert.ok(typeof used === "number" && used > 900 && used <= 1024, `${used} KiB of 1024`);
    await alpha.deliver({ to: address("hedy"), subject: "small" });
    const { dialogue } = await imap("hedy");
    await dialogue.imap("b", "SELECT INBOX");
    assert.match(await dialogue.imap("c", 'SEARCH SUBJECT "90 % full"'), /^\* SEARCH \d+\r$/m);
    dialogue.close();
  });
});

describe("names", () => {
  test("all the rest of a domain, and a detail, reach whom they should", async () => {
    await addUser("ines");
    await mailfruit(`alias add @${domain} ${address("ines")}`);
    await mailfruit(`alias add ${address("bea+shop")} ${address("ines")}`);
    for (const to of ["whoever", "bea+shop", "ines+list"]) {
      const { messageId } = await alpha.deliver({ to: address(to), subject: to });
      assert.equal((await readMail(mailbox("ines"), messageId)).subject, to);
    }
    const { messageId } = await alpha.deliver({ to: address("bea+list"), subject: "own" });
    assert.equal((await readMail(mailbox("bea"), messageId)).subject, "own");
  });

  test("who is away answers", async () => {
    const script = 'require "vacation"; vacation :subject "away" "I am away.";';
    await alpha.run(`doveadm sieve put -u ${address("bea")} -a main`, script);
    await alpha.deliver({ from: address("ines"), to: address("bea"), subject: "are you there" });
    const { dialogue } = await imap("ines");
    await dialogue.imap("b", "SELECT INBOX");
    let answer = "";
    for (let tries = 0; tries < 50 && !/SEARCH \d/.test(answer); tries++)
      answer = await dialogue.imap("c", `SEARCH SUBJECT away FROM ${address("bea")}`);
    assert.match(answer, /^\* SEARCH \d/m);
    dialogue.close();
  });
});

describe("a secret", () => {
  test("is typed without echo, and stands in no process list, journal or history", async () => {
    const { invitation } = await mailfruit(`user add ${address("jane")} --invite`);
    await alpha.run(
      "rm -f /run/ps-stop; (while [ ! -e /run/ps-stop ]; do cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null | tr '\\0' ' '; sleep 0.03; done >/run/ps.log 2>/dev/null) >/dev/null 2>&1 &",
    );
    const secrets = [String(invitation), "first password of jane", "second password of jane"];
    const [first = "", second = ""] = secrets.slice(1);
    const screens =
      (await typed(`user accept ${address("jane")}`, String(invitation), first, first)) +
      (await typed(`user passwd ${address("jane")}`, first, second, second));
    assert.match(screens, /the password of jane@.* is changed/);
    const key = /^ +(\S{34})\r?$/m.exec(screens)?.[1];
    assert.ok(key, screens);
    const { password: phone } = await mailfruit(`app add ${address("jane")} phone`, second);
    await mailfruit(`user recover ${address("jane")}`, key, first);
    const all = [...secrets, key, String(phone)];
    await alpha.run("touch /run/ps-stop; sleep 0.2; grep -qa 'mailfruit user passwd' /run/ps.log");
    const seen = await alpha.run("grep -aoF -f - /run/ps.log || true", all.join("\n"));
    assert.equal(seen, "", "a process list");
    await alpha.run("rm /run/ps.log /run/ps-stop");
    const logs = await alpha.run(
      "journalctl --no-pager -o export | tr -d '\\0'; cat /root/.*history 2>/dev/null; find /var/log -type f -exec cat {} + | tr -d '\\0'",
    );
    for (const secret of all) assert.ok(!logs.includes(secret), "a log");
    for (const secret of secrets) assert.ok(!screens.includes(secret), screens);
  });

  test("lies in a file that only root and mail-keys.service read", async () => {
    const read = (user: string) =>
      alpha.run(`su -s /bin/sh ${user} -c 'head -c 6 /srv/mail/accounts/keys.sqlite' 2>&1 || true`);
    for (const user of ["postfix", "dovecot", "dovenull", "vmail", "nobody"])
      assert.match(await read(user), /Permission denied/, user);
    assert.equal(await read("mailkeys"), "SQLite");
    const connect = (user: string) =>
      alpha.run(
        `su -s /bin/sh ${user} -c 'python3 -' 2>&1 || true`,
        'import socket; socket.socket(socket.AF_UNIX).connect("/run/mail-keys/socket")',
      );
    for (const user of ["postfix", "vmail", "nobody"])
      assert.match(await connect(user), /PermissionError/, user);
    assert.equal(await connect("dovecot"), "");
  });
});

/** What a terminal shows while `mailfruit ARGS` asks and somebody types. */
const typed = (args: string, ...lines: string[]) =>
  alpha.run(
    `cat >/run/type.py; python3 /run/type.py ${args}; rm /run/type.py`,
    readFileSync(join(scripts, "type.py"), "utf8").replace("LINES", JSON.stringify(lines)),
  );

test("bash completes commands and addresses", async () => {
  const complete = (line: string) =>
    alpha.run(
      "bash",
      `. /usr/share/bash-completion/bash_completion; . /etc/bash_completion.d/mailfruit
       COMP_LINE='${line}'; COMP_POINT=\${#COMP_LINE}; COMP_TYPE=9; COMP_WORDS=($COMP_LINE); COMP_CWORD=2
       $(complete -p mailfruit | sed 's/.*-F //; s/ .*//') mailfruit; echo "\${COMPREPLY[@]}"`,
    );
  assert.match(await complete("mailfruit user pa"), /^passwd/);
  assert.match(await complete("mailfruit user show bea"), new RegExp(`^${address("bea")}`));
});

/** Milliseconds from LOGIN to its answer, the least of five. */
async function loginTime(name: string, secret: string): Promise<number> {
  const times: number[] = [];
  for (let i = 0; i < 5; i++) {
    const { ipv4: host, serverHostname: servername, ca } = alpha.outputs;
    const dialogue = await Dialogue.open({ host, port: 993, servername, ca, wrapped: true });
    await dialogue.line();
    const began = performance.now();
    assert.match(await dialogue.imap("a", `LOGIN ${address(name)} "${secret}"`), /^a OK /m);
    times.push(Math.round(performance.now() - began));
    dialogue.close();
  }
  return Math.min(...times);
}
