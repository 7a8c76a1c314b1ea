import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { suite, test } from "node:test";
import { z } from "zod";
import {
  Accounts,
  accountsCannotRun,
  open,
  password,
  rows,
  type Trial,
} from "./server/accounts.ts";
import { missing } from "./server/python.ts";

const invited = z.object({ address: z.string(), invitation: z.string() });
const anna = "anna@anna.example";
const bert = "bert@anna.example";
const next = "another long password";
const seed = Number(process.env.TEST_SEED ?? 20261125);

/** Ways in which a person writes what was printed. */
const misread = (made: string): string[] => {
  const plain = made.replaceAll("-", "");
  return [
    plain,
    made.toUpperCase(),
    made.replaceAll("-", " "),
    plain.replaceAll("o", "0").replaceAll("l", "1").replaceAll("b", "8"),
    ` ${plain.slice(0, 13)} ${plain.slice(13).toUpperCase()}  `,
    made.replaceAll("-", "--"),
  ];
};

suite("a key slot", { skip: accountsCannotRun, concurrency: 2 }, () => {
  test("of a password is Argon2id with 64 MiB and three passes, whatever the password looks like", () => {
    using accounts = new Accounts();
    const likeMade = "abcdefghijklmnopqrstuvwxyz23";
    accounts.add(anna);
    accounts.does(["user", "add", bert], likeMade);
    accounts.does(["user", "add", "c@anna.example"], "abcd-efgh-ijkl-mnop-qrst-uvwx-yz23");
    accounts.does(["user", "passwd", anna], password, likeMade);
    const costs = "SELECT kdf, passes, memory_kib, length(salt) FROM slots WHERE kind = 'password'";
    assert.deepEqual(accounts.rows("keys", costs), Array(3).fill("argon2id 3 65536 16"));
    const [secret, wrong] = accounts.open(
      { address: anna, kind: "password", password: likeMade },
      { address: anna, kind: "password", password: likeMade.toUpperCase() },
    );
    assert.deepEqual([secret, wrong], [accounts.dovecot().keys[anna], null]);
  });

  test("opens with its own password only", () => {
    using accounts = new Accounts();
    const key = accounts.add(anna);
    const bertsKey = accounts.add(bert);
    const app = accounts.app(anna, "phone");
    const wrong = ["", `${password} `, password.toUpperCase(), key, app].map(
      (given) => ({ address: anna, kind: "password", password: given }) as const,
    );
    const made = [password, bertsKey, app].map(
      (given) => ({ address: anna, kind: "recovery", password: given }) as const,
    );
    const phone = { address: anna, kind: "app", name: "phone", password: key } as const;
    assert.deepEqual(accounts.open(...wrong, ...made, phone), Array(9).fill(null));
    const secrets = Object.values(accounts.dovecot().keys);
    assert.equal(new Set(secrets).size, 2, "each mailbox has a secret of its own");
  });

  test("moved to another mailbox, kind or device doesn't open", () => {
    using accounts = new Accounts();
    const key = accounts.add(anna);
    accounts.add(bert);
    const app = accounts.app(anna, "phone");
    const db = new DatabaseSync(accounts.path("accounts", "keys.sqlite"));
    db.exec(`
      UPDATE slots SET address = 'x' WHERE address = '${bert}' AND kind = 'password';
      INSERT INTO slots SELECT '${bert}', kind, name, kdf, salt, passes, memory_kib, wrapped, created
        FROM slots WHERE address = '${anna}' AND kind != 'recovery';
      INSERT INTO slots SELECT address, 'app', 'tablet', kdf, salt, passes, memory_kib, wrapped, created
        FROM slots WHERE address = '${anna}' AND kind = 'recovery';
      UPDATE slots SET name = 'mine' WHERE address = '${anna}' AND name = 'phone'`);
    db.close();
    accounts.refuses(/not the password/, ["user", "passwd", bert], password, next);
    const moved = [
      { address: bert, kind: "password", password },
      { address: bert, kind: "app", name: "phone", password: app },
      { address: anna, kind: "app", name: "tablet", password: key },
      { address: anna, kind: "app", name: "mine", password: app },
    ] as const;
    assert.deepEqual(accounts.open(...moved), [null, null, null, null]);
    const asBefore = accounts.open({ ...moved[0], as: `${anna}/password/` });
    assert.deepEqual(asBefore, [accounts.dovecot().keys[anna]], "the row itself is whole");
  });

  test("that was changed by a bit opens nothing, and is no crash", () => {
    using accounts = new Accounts();
    const key = accounts.add(anna);
    const db = new DatabaseSync(accounts.path("accounts", "keys.sqlite"));
    const { wrapped } = db.prepare("SELECT wrapped FROM slots WHERE kind = 'recovery'").get() ?? {};
    assert.ok(wrapped instanceof Uint8Array);
    wrapped[wrapped.length - 1] = (wrapped.at(-1) ?? 0) ^ 1;
    db.prepare("UPDATE slots SET wrapped = ? WHERE kind = 'recovery'").run(wrapped);
    db.close();
    accounts.refuses(/not the recovery key/, ["user", "recover", anna], key, next);
  });

  test("of what this program made is for 140 random bits, and forgives how they are typed", () => {
    using accounts = new Accounts();
    const keys = [accounts.add(anna)];
    for (let n = 0; n < 2; n++)
      keys.push(accounts.says("recovery_key", ["user", "recovery-key", anna], password));
    for (const key of keys) assert.match(key, /^([a-z2-7]{4}-){6}[a-z2-7]{4}$/);
    assert.equal(new Set(keys.flatMap((key) => key.split("-"))).size, 21, "no group comes twice");
    const key = keys.at(-1) ?? "";
    for (const typed of misread(key)) accounts.does(["user", "recover", anna], typed, next);
    const [secret] = accounts.open({ address: anna, kind: "recovery", password: key });
    assert.equal(secret, accounts.dovecot().keys[anna]);
    const cost = "SELECT DISTINCT kdf FROM slots WHERE kind = 'recovery'";
    assert.deepEqual(accounts.rows("keys", cost), ["blake2b"]);
  });

  test("takes 0, 1 and 8 for the letters o, l and b, which they were", async () => {
    using accounts = new Accounts();
    const commands = Array.from({ length: 100 }, (_, n) => [
      "user",
      "add",
      `user-${n}@anna.example`,
      "--invite",
      "--json",
    ]);
    const made = (await accounts.many(commands)).map(([, said]) => invited.parse(JSON.parse(said)));
    assert.equal(new Set(made.map(({ invitation }) => invitation)).size, 100);
    const all = ["o", "l", "b"];
    const { address, invitation } =
      made.find((one) => all.every((letter) => one.invitation.includes(letter))) ?? assert.fail();
    const typed = invitation.replaceAll("o", "0").replaceAll("l", "1").replaceAll("b", "8");
    accounts.does(["user", "accept", address], typed, password);
  });
});

suite("what lies on the disk", { skip: accountsCannotRun, concurrency: 2 }, () => {
  /** No file of the databases has it: as it is, without dashes, in hex, in UTF-16. */
  const nowhere = (accounts: Accounts, canary: string | Buffer) => {
    const bytes = accounts.bytes();
    const text = canary.toString();
    const forms =
      typeof canary === "string"
        ? [
            text,
            text.replaceAll("-", ""),
            Buffer.from(text, "utf16le"),
            Buffer.from(text).toString("hex"),
          ]
        : [canary];
    for (const form of forms) assert.equal(bytes.includes(form), false, `${form.toString("hex")}`);
  };

  test("holds no password, no recovery key and no mail secret", () => {
    using accounts = new Accounts();
    const key = accounts.add(anna);
    const app = accounts.app(anna, "phone");
    const again = accounts.says("recovery_key", ["user", "recovery-key", anna], password);
    accounts.does(["user", "recover", anna], again, next);
    assert.ok(accounts.bytes().includes("phone"), "the search finds what is there");
    const secret = Buffer.from(accounts.dovecot().keys[anna] ?? assert.fail(), "hex");
    for (const canary of [password, next, key, again, app, secret.toString("hex"), secret])
      nowhere(accounts, canary);
  });

  test("holds no slot that was replaced, taken back or deleted", () => {
    using accounts = new Accounts();
    accounts.add(anna);
    accounts.app(anna, "phone");
    const wrapped = () =>
      accounts.rows("keys", "SELECT wrapped FROM slots").map((hex) => Buffer.from(hex, "hex"));
    const first = wrapped();
    assert.equal(first.length, 3);
    for (const slot of first) assert.ok(accounts.bytes().includes(slot));
    accounts.does(["user", "passwd", anna], password, next);
    accounts.does(["user", "recovery-key", anna], next);
    accounts.does(["app", "delete", anna, "phone"]);
    for (const slot of first) nowhere(accounts, slot);
    const second = wrapped();
    accounts.does(["user", "delete", anna, "--with-mail"]);
    for (const slot of second) nowhere(accounts, slot);
    nowhere(accounts, anna);
    assert.deepEqual(readdirSync(accounts.folder).sort(), ["keys.sqlite", "mail.sqlite"]);
  });
});

/** What has to be true wherever a password change ended: one of the two passwords opens the same mail, and all else stays. */
class PasswordChange implements Disposable {
  readonly accounts = new Accounts();
  readonly secret: string;
  readonly before: string[];
  readonly rest: string[];
  readonly args = ["user", "passwd", anna, "--password-stdin"];
  readonly input = `${password}\n${next}\n`;

  constructor() {
    this.accounts.add(anna);
    this.accounts.add(bert);
    this.accounts.app(anna, "phone");
    this.secret = this.accounts.dovecot().keys[anna] ?? assert.fail();
    this.before = this.slot(this.accounts.folder);
    this.rest = this.others(this.accounts.folder);
  }

  slot = (folder: string) =>
    rows(folder, "keys", `SELECT * FROM slots WHERE address = '${anna}' AND kind = 'password'`);

  others = (folder: string) => [
    ...rows(
      folder,
      "keys",
      `SELECT * FROM slots WHERE address != '${anna}' OR kind != 'password' ORDER BY 1, 2, 3`,
    ),
    ...rows(folder, "keys", "SELECT * FROM logins ORDER BY 1"),
    ...["mailboxes", "domains", "aliases"].flatMap((table) =>
      rows(folder, "mail", `SELECT * FROM ${table} ORDER BY 1`),
    ),
  ];

  /** Checks folders that a change left; each "old" or "new". Opening a database rolls back what was cut off. */
  hold(folders: string[]): ("old" | "new")[] {
    for (const folder of folders) {
      for (const file of ["mail", "keys"] as const)
        assert.deepEqual(rows(folder, file, "PRAGMA integrity_check"), ["ok"]);
      assert.deepEqual(this.others(folder), this.rest);
    }
    const before = JSON.stringify(this.before); // the same row to the last bit
    const ends = folders.map((one) => (JSON.stringify(this.slot(one)) === before ? "old" : "new"));
    const changed = folders.filter((_, n) => ends[n] === "new");
    const trials = [this.accounts.folder, ...changed].flatMap((folder) =>
      [password, next].map(
        (given) =>
          [folder, { address: anna, kind: "password", password: given }] as [string, Trial],
      ),
    );
    const secrets = open(trials);
    if (!folders.includes(this.accounts.folder))
      assert.deepEqual(secrets.slice(0, 2), [this.secret, null]);
    for (let n = 2; n < secrets.length; n += 2)
      assert.deepEqual(secrets.slice(n, n + 2), [null, this.secret]);
    return ends;
  }

  [Symbol.dispose](): void {
    this.accounts[Symbol.dispose]();
  }
}

suite("a password change", { skip: accountsCannotRun }, () => {
  test("keeps the mail secret, and the old password opens nothing any more", () => {
    using change = new PasswordChange();
    assert.equal(change.accounts.run(change.args, change.input).status, 0);
    assert.deepEqual(change.hold([change.accounts.folder]), ["new"]);
  });

  test("that is refused changes nothing", () => {
    using change = new PasswordChange();
    change.accounts.refuses(/not the password/, ["user", "passwd", anna], `${password}x`, next);
    change.accounts.refuses(/12 characters/, ["user", "passwd", anna], password, "short");
    assert.deepEqual(change.hold([change.accounts.folder]), ["old"]);
  });

  // SIGKILL leaves what the kernel was given; it proves the order of SQLite's writes, not what a disk keeps of them when
  // the power goes. For that the program leans on SQLite's own journal, with fsync (synchronous = FULL).
  test("killed at 100 random instants leaves one of the two passwords, and it opens the same mail", (t) => {
    t.diagnostic(`TEST_SEED=${seed}`);
    using change = new PasswordChange();
    const { folders, survived } = change.accounts.killRandomly(
      change.args,
      change.input,
      100,
      seed,
    );
    assert.equal(folders.length, 100);
    const ends = change.hold(folders.map((folder) => join(folder, "accounts")));
    const changed = ends.filter((end) => end === "new").length;
    t.diagnostic(
      `${survived} had ended; ${100 - changed} open with the old password, ${changed} with the new one`,
    );
    assert.ok(survived < 50 && changed > 0 && changed < 100, "the kills hit the change");
  });

  // The same without chance: killed at each single call that changes the databases' files.
  test("killed before each of its writes leaves one of the two passwords, and it opens the same mail", {
    skip: missing("strace", "strace"),
  }, (t) => {
    using change = new PasswordChange();
    const probe = join(import.meta.dirname, "server", "accounts-probe.py");
    const folders = [];
    for (let nth = 1; ; nth++) {
      const root = change.accounts.path(`cut-${nth}`);
      mkdirSync(root);
      for (const name of ["accounts", "owners", "dovecot.json"])
        cpSync(change.accounts.path(name), join(root, name), { recursive: true });
      const calls = "pwrite64,fsync,fdatasync,unlink,ftruncate";
      const kill = [
        "-qq",
        "-o",
        "/dev/null",
        "-e",
        `trace=${calls}`,
        "-e",
        `inject=${calls}:signal=KILL:when=${nth}`,
      ];
      const program = ["/usr/bin/python3", probe, root, ...change.args];
      const { status } = spawnSync("strace", [...kill, ...program], { input: change.input });
      folders.push(join(root, "accounts"));
      if (status === 0) break; // it has no more writes
    }
    const ends = change.hold(folders);
    t.diagnostic(`killed at: ${ends.join(" ")}`);
    assert.ok(ends.length > 10);
    assert.deepEqual([...ends].sort().reverse(), ends, "once the new one opens, it stays so");
    assert.deepEqual([ends.at(0), ends.at(-1)], ["old", "new"]);
  });
});

suite("a change that was killed at its commit", { skip: accountsCannotRun }, () => {
  test("is not there at all, in neither file, and the next one works", () => {
    using accounts = new Accounts();
    const key = accounts.add(anna);
    const code = accounts.says("invitation", ["user", "add", bert, "--invite"]);
    accounts.give({ domains: ["bert.example"], aliases: {}, debugUsers: [] });
    const before = accounts.everything();
    const kills: [string[], string?][] = [
      [["user", "add", "c@anna.example", "--invite"]],
      [["user", "accept", bert, "--password-stdin"], `${code}\n${password}`],
      [["user", "recover", anna, "--password-stdin"], `${key}\n${next}`],
      [["user", "reset", anna, "--lose-mail"]],
      [["user", "delete", anna, "--with-mail"]],
      [["sync"]],
    ];
    for (const [args, input] of kills) {
      const { signal } = accounts.run(["--kill-at-commit", ...args], input);
      assert.equal(signal, "SIGKILL", args.join(" "));
      assert.deepEqual(accounts.everything(), before);
    }
    accounts.does(["user", "accept", bert], code, password);
    assert.ok(readFileSync(accounts.path("dovecot.json"), "utf8").includes(bert));
  });
});
