import assert from "node:assert/strict";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";
import { text } from "node:stream/consumers";
import { suite, test } from "node:test";
import { Accounts, accountsCannotRun, password } from "./server/accounts.ts";

const anna = "anna@anna.example";
const next = "another long password";

suite("a mailbox", { skip: accountsCannotRun, concurrency: 2 }, () => {
  test("can be logged in to at once, and Dovecot's key is locked by its mail secret", () => {
    using accounts = new Accounts();
    const said = accounts.does(["user", "add", "Anna@anna.example"], password);
    assert.match(said, /^anna@anna\.example can log in and gets mail\n/);
    assert.deepEqual(accounts.rows("mail", "SELECT address, keyed FROM mailboxes"), [`${anna} 1`]);
    const [secret] = accounts.open({ address: anna, kind: "password", password });
    assert.match(secret ?? "", /^[0-9a-f]{64}$/);
    assert.equal(accounts.dovecot().keys[anna], secret);
  });

  test("has its slots where Postfix can't read them, and nobody else reads either file", () => {
    using accounts = new Accounts();
    accounts.add(anna);
    const owner = (file: string) => readFileSync(accounts.path("owners", file), "utf8");
    assert.deepEqual([owner("mail.sqlite"), owner("keys.sqlite")], ["postfix", "mailkeys"]);
    for (const file of ["mail.sqlite", "keys.sqlite"]) assert.equal(accounts.mode(file), "640");
    assert.deepEqual(accounts.rows("mail", "SELECT name FROM sqlite_schema WHERE type = 'table'"), [
      "domains",
      "mailboxes",
      "aliases",
    ]);
  });

  test("needs a password that a mail client can send, and none of it is in the refusal", () => {
    using accounts = new Accounts();
    const bad = [
      "",
      "elevenchars",
      "two lines of\npassword",
      "tab\tinside password",
      Buffer.from([0xff, ...Buffer.from("x".repeat(20))]),
    ];
    for (const given of bad) {
      const { status, stderr } = accounts.run(["user", "add", anna, "--password-stdin"], given);
      assert.equal(status, 1);
      assert.match(
        stderr,
        /^mailfruit: a password (has|is) (?!.*xxx|.*password inside|.*elevenchars)/,
      );
    }
    assert.deepEqual(accounts.addresses(), []);
    accounts.does(["user", "add", anna], "pässwörter ☕ gehen");
  });

  test("that is there already is not made anew; --or-update keeps one with the same password", () => {
    using accounts = new Accounts();
    accounts.add(anna);
    accounts.refuses(/is there already/, ["user", "add", anna], next);
    accounts.refuses(/with another password/, ["user", "add", anna, "--or-update"], next);
    const before = accounts.everything();
    accounts.does(["user", "add", anna, "--or-update"], password);
    assert.deepEqual(accounts.everything(), before);
  });

  test("gets a made password with --generate, which is shown once and opens it", () => {
    using accounts = new Accounts();
    const made = accounts.says("password", ["user", "add", anna, "--generate"]);
    const [secret] = accounts.open({ address: anna, kind: "password", password: made });
    assert.equal(accounts.dovecot().keys[anna], secret);
    assert.equal(accounts.bytes().includes(made), false);
  });

  test("gets the room that was asked for, and an impossible quota makes none", () => {
    using accounts = new Accounts();
    accounts.add(anna, "--quota", "5");
    accounts.add("b@anna.example");
    accounts.does(["user", "quota", "b@anna.example", "7"]);
    assert.equal(
      accounts.does(["user", "list"]),
      "anna@anna.example\t5 MiB\topen\nb@anna.example\t7 MiB\topen\n",
    );
    for (const quota of ["-1", "1.5", "9".repeat(30), "ten", "٣"]) {
      const { status } = accounts.run(["user", "add", "c@anna.example", `--quota=${quota}`]);
      assert.equal(status, 2);
    }
    assert.equal(accounts.addresses().length, 2);
  });

  test("is shown with all that belongs to it, and no secret", () => {
    using accounts = new Accounts();
    accounts.add(anna);
    accounts.app(anna, "phone");
    accounts.does(["alias", "add", "us@anna.example", anna]);
    assert.deepEqual(JSON.parse(accounts.does(["user", "show", anna, "--json"])), {
      address: anna,
      state: "open",
      quota_mib: 1024,
      origin: "admin",
      aliases: ["us@anna.example"],
      app_passwords: ["phone"],
      recovery_key: true,
      used_kib: 7,
    });
  });

  test("is deleted with its keys and its mail, and only when both are asked for", () => {
    using accounts = new Accounts();
    accounts.add(anna);
    const places = ["home", "cache"].map((dir) => accounts.path(dir, "anna.example", "anna"));
    for (const place of places) mkdirSync(place, { recursive: true });
    accounts.refuses(/nothing was deleted.*--with-mail/, ["user", "delete", anna]);
    accounts.does(["user", "delete", anna, "--with-mail"]);
    assert.deepEqual([accounts.addresses(), accounts.slots()], [[], []]);
    assert.deepEqual(places.map(existsSync), [false, false]);
    assert.deepEqual(accounts.dovecot().kicked, [anna]);
    accounts.refuses(/there is no mailbox anna@anna\.example/, ["user", "delete", anna]);
  });

  test("of a domain that the stack gave up can still be deleted", () => {
    using accounts = new Accounts();
    accounts.add(anna);
    accounts.give({ domains: ["bert.example"], aliases: {}, debugUsers: [] });
    accounts.does(["sync"]);
    accounts.does(["user", "delete", anna, "--with-mail"]);
    assert.deepEqual(accounts.addresses(), []);
  });

  test("that is disabled can't be logged in to and keeps everything; enable undoes it", () => {
    using accounts = new Accounts();
    accounts.add(anna);
    const before = accounts.everything();
    accounts.does(["user", "disable", anna]);
    assert.match(accounts.does(["user", "list"]), /disabled/);
    assert.deepEqual(accounts.rows("keys", "SELECT * FROM logins"), [`${anna} 0`]);
    assert.deepEqual(accounts.dovecot().kicked, [anna]);
    accounts.does(["user", "passwd", anna], password, password);
    assert.match(
      accounts.does(["user", "list"]),
      /disabled/,
      "a new password opens no closed login",
    );
    accounts.does(["user", "enable", anna]);
    assert.deepEqual(accounts.everything().keys[0], before.keys[0]);
  });

  test("gets no mail while Dovecot has no key for it, and its password makes the key later", () => {
    using accounts = new Accounts();
    writeFileSync(accounts.path("dovecot-is-down"), "");
    const { status, stderr } = accounts.run(["user", "add", anna, "--password-stdin"], password);
    assert.deepEqual(
      [status, stderr],
      [1, `mailfruit: Dovecot made no key for ${anna}: it is down\n`],
    );
    assert.deepEqual(accounts.rows("mail", "SELECT keyed FROM mailboxes"), ["0"]);
    assert.match(accounts.does(["user", "list"]), /unfinished/);
    rmSync(accounts.path("dovecot-is-down"));
    accounts.does(["user", "passwd", anna], password, next);
    assert.deepEqual(accounts.rows("mail", "SELECT keyed FROM mailboxes"), ["1"]);
    const [secret] = accounts.open({ address: anna, kind: "password", password: next });
    assert.equal(accounts.dovecot().keys[anna], secret);
  });

  test("never takes over what the removal of an earlier one left: a foreign key is moved aside", () => {
    using accounts = new Accounts();
    const home = accounts.path("home", "anna.example", "anna");
    mkdirSync(home, { recursive: true });
    writeFileSync(`${home}/dovecot-attributes`, "an old key");
    accounts.add(anna);
    assert.equal(existsSync(`${home}/dovecot-attributes`), false);
  });

  test("asked for by many at once is made once, and each of many is made", async () => {
    using accounts = new Accounts();
    const addresses = ["a", "a", "b", "c", "d", "e"].map((name) => `${name}@anna.example`);
    const codes = await Promise.all(
      addresses.map(async (address) => {
        const child = accounts.start(["user", "add", address, "--invite"]);
        child.stdout.resume();
        const ended = new Promise((resolve) => child.on("close", resolve));
        const words = await text(child.stderr);
        assert.doesNotMatch(words, /Traceback|locked/);
        return ended;
      }),
    );
    assert.deepEqual(codes.sort(), [0, 0, 0, 0, 0, 1]);
    assert.equal(accounts.addresses().length, 5);
  });

  test("without its volume, or from before mail was encrypted, is a sentence", () => {
    using accounts = new Accounts(false);
    writeFileSync(accounts.path("accounts", "passwords.sqlite"), "");
    const old = accounts.run(["sync"]);
    assert.deepEqual(
      [old.status, old.stderr.startsWith("mailfruit: the accounts and mail")],
      [1, true],
    );
    rmSync(accounts.folder, { recursive: true });
    const { status, stderr } = accounts.run(["sync"]);
    assert.equal(status, 1);
    assert.match(stderr, /^mailfruit: .*accounts is not there: the volume .* npm run unlock$/m);
  });
});

suite("an invitation", { skip: accountsCannotRun, concurrency: 2 }, () => {
  const invited = (accounts: Accounts) =>
    accounts.says("invitation", ["user", "add", anna, "--invite"]);

  test("sets the first password once; nothing of it is stored, and nobody could log in before", () => {
    using accounts = new Accounts();
    const code = invited(accounts);
    assert.deepEqual(accounts.slots(), []);
    assert.deepEqual(accounts.rows("keys", "SELECT * FROM logins"), []);
    for (const part of [code.slice(0, 9), code.slice(-9), code.replaceAll("-", "").slice(0, 8)])
      assert.equal(
        accounts.bytes().includes(part),
        false,
        "part of the invitation lies on the disk",
      );
    accounts.refuses(/no password yet/, ["user", "passwd", anna], password, next);
    accounts.refuses(/no password yet/, ["user", "disable", anna]);
    accounts.does(["user", "accept", anna], code.toUpperCase().replaceAll("-", " "), password);
    const [secret] = accounts.open({ address: anna, kind: "password", password });
    assert.equal(accounts.dovecot().keys[anna], secret);
    accounts.refuses(
      /no invitation of .* or it was used already/,
      ["user", "accept", anna],
      code,
      next,
    );
    accounts.refuses(/has a password/, ["user", "invite", anna]);
  });

  test("that is wrong, another's or replaced opens nothing", () => {
    using accounts = new Accounts();
    const first = invited(accounts);
    const others = accounts.says("invitation", ["user", "add", "b@anna.example", "--invite"]);
    const second = accounts.says("invitation", ["user", "invite", anna]);
    for (const code of [first, others, "", "x", "aaaa-".repeat(7), "\u0000", `${second}a`])
      accounts.refuses(/no invitation of/, ["user", "accept", anna], code, password);
    accounts.does(["user", "accept", anna], second, password);
  });

  test("expires after two weeks", () => {
    using accounts = new Accounts();
    const code = invited(accounts);
    const [expires] = accounts.rows("keys", "SELECT expires FROM invitations");
    assert.ok(Math.abs(Number(expires) - Date.now() / 1000 - 14 * 86400) < 60);
    const db = new DatabaseSync(accounts.path("accounts", "keys.sqlite"));
    db.exec(`UPDATE invitations SET expires = ${Math.floor(Date.now() / 1000) - 1}`);
    db.close();
    accounts.refuses(/has expired/, ["user", "accept", anna], code, password);
  });

  test("is kept when the password is refused", () => {
    using accounts = new Accounts();
    const code = invited(accounts);
    accounts.refuses(/12 characters/, ["user", "accept", anna], code, "short");
    accounts.does(["user", "accept", anna], code, password);
  });
});

suite("a recovery key", { skip: accountsCannotRun, concurrency: 2 }, () => {
  test("sets a new password that opens the same mail, as often as it is needed", () => {
    using accounts = new Accounts();
    const key = accounts.add(anna);
    for (const again of [next, `${next} 2`]) {
      accounts.does(["user", "recover", anna], key, again);
      const [secret, old] = accounts.open(
        { address: anna, kind: "password", password: again },
        { address: anna, kind: "password", password },
      );
      assert.deepEqual([secret, old], [accounts.dovecot().keys[anna], null]);
    }
    assert.deepEqual(accounts.dovecot().kicked, [anna, anna]);
  });

  test("is no password, and a password is no recovery key", () => {
    using accounts = new Accounts();
    const key = accounts.add(anna);
    const app = accounts.app(anna, "phone");
    accounts.refuses(/not the password/, ["user", "passwd", anna], key, next);
    for (const wrong of [password, app, "", `${key}a`])
      accounts.refuses(/not the recovery key/, ["user", "recover", anna], wrong, next);
    accounts.refuses(/not the password/, ["user", "recovery-key", anna], app);
  });

  test("replaced by a new one opens nothing any more", () => {
    using accounts = new Accounts();
    const old = accounts.add(anna);
    const key = accounts.says("recovery_key", ["user", "recovery-key", anna], password);
    accounts.refuses(/not the recovery key/, ["user", "recover", anna], old, next);
    accounts.does(["user", "recover", anna], key, next);
  });

  test("lost with the password means a new beginning, and the loss is told before anything is done", () => {
    using accounts = new Accounts();
    accounts.add(anna);
    const home = accounts.path("home", "anna.example", "anna");
    mkdirSync(home, { recursive: true });
    accounts.refuses(/lost for ever; nothing was changed.*--lose-mail/, ["user", "reset", anna]);
    assert.equal(existsSync(home), true);
    const code = accounts.says("invitation", ["user", "reset", anna, "--lose-mail"]);
    assert.deepEqual([accounts.slots(), existsSync(home)], [[], false]);
    assert.deepEqual(accounts.rows("mail", "SELECT keyed FROM mailboxes"), ["0"]);
    rmSync(accounts.path("dovecot.json")); // the key lay with the mail
    accounts.does(["user", "accept", anna], code, next);
  });
});

suite("an app password", { skip: accountsCannotRun, concurrency: 2 }, () => {
  test("opens the same mail as the password does, and can be taken back alone", () => {
    using accounts = new Accounts();
    accounts.add(anna);
    const [phone, laptop] = [accounts.app(anna, "phone"), accounts.app(anna, "my laptop")];
    const trials = [
      { address: anna, kind: "app", name: "phone", password: phone },
      { address: anna, kind: "app", name: "my laptop", password: laptop },
    ] as const;
    const secret = accounts.dovecot().keys[anna];
    assert.deepEqual(accounts.open(...trials), [secret, secret]);
    accounts.does(["app", "delete", anna, "phone"]);
    assert.deepEqual(accounts.open(...trials), [null, secret]);
    assert.deepEqual(accounts.dovecot().kicked, [anna]);
    assert.match(accounts.does(["app", "list", anna]), /^my laptop\tmade \d{4}-\d\d-\d\d\n$/);
  });

  test("needs the mailbox's own password, and a name that is free", () => {
    using accounts = new Accounts();
    accounts.add(anna);
    const phone = accounts.app(anna, "phone");
    accounts.refuses(/not the password/, ["app", "add", anna, "tablet"], phone);
    accounts.refuses(/already/, ["app", "add", anna, "phone"], password);
    for (const name of ["", "a/b", "ü", "x".repeat(33), "a\nb", " a"])
      accounts.refuses(/is no name for an app password/, ["app", "add", anna, name], password);
    accounts.refuses(/has no app password/, ["app", "delete", anna, "tablet"]);
  });

  test("stays good when the password changes", () => {
    using accounts = new Accounts();
    accounts.add(anna);
    const phone = accounts.app(anna, "phone");
    accounts.does(["user", "passwd", anna], password, next);
    const trial = { address: anna, kind: "app", name: "phone", password: phone } as const;
    assert.deepEqual(accounts.open(trial), [accounts.dovecot().keys[anna]]);
  });
});
