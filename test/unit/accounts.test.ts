import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { text } from "node:stream/consumers";
import { suite, test } from "node:test";
import { missing, pythonLacks } from "./server/python.ts";
import { temporaryFolder } from "./server/temporary.ts";

const probe = join(import.meta.dirname, "server", "accounts-probe.py");
const password = "correct horse battery";
const cannotRun = missing("/usr/bin/python3", "python3") || pythonLacks("argon2", "python3-argon2");

interface StackAccounts {
  domains: string[];
  aliases: Record<string, string[]>;
  debugUsers: string[];
}

const stack: StackAccounts = {
  domains: ["anna.example"],
  aliases: { "postmaster@anna.example": ["anna@elsewhere.example"] },
  debugUsers: ["test@anna.example"],
};

/** The accounts of a server below a temporary folder. */
class Accounts implements Disposable {
  readonly root = temporaryFolder("accounts");

  constructor(synced = true) {
    for (const dir of ["accounts", "home", "owners"]) mkdirSync(join(this.root, dir));
    this.give(stack);
    if (synced) assert.equal(this.run(["sync"]).status, 0);
  }

  /** What the stack says; `sync` takes it. */
  give(accounts: StackAccounts): void {
    writeFileSync(join(this.root, "accounts.json"), JSON.stringify(accounts));
  }

  run(args: string[], input: string | Buffer = "") {
    return spawnSync("/usr/bin/python3", [probe, this.root, ...args], { input, encoding: "utf8" });
  }

  add(address: string, ...more: string[]) {
    return this.run(["user", "add", address, "--password-stdin", ...more], `${password}\n`);
  }

  rows(file: "mail" | "passwords", query: string): unknown[] {
    const db = new DatabaseSync(join(this.root, "accounts", `${file}.sqlite`), { readOnly: true });
    const rows = db.prepare(query).all();
    db.close();
    return rows.map((row) => Object.values(row).join(" "));
  }

  addresses = () => this.rows("mail", "SELECT address FROM mailboxes ORDER BY address");
  aliases = () => this.rows("mail", "SELECT address, destination FROM aliases ORDER BY address");
  hashes = () => this.rows("passwords", "SELECT hash FROM passwords ORDER BY address");

  [Symbol.dispose](): void {
    rmSync(this.root, { recursive: true, force: true });
  }
}

suite("an account", { skip: cannotRun }, () => {
  test("can log in: its hash is an Argon2id that Dovecot verifies, of this password and no other", () => {
    using accounts = new Accounts();
    const { status, stdout } = accounts.add("Anna@anna.example");
    assert.deepEqual([status, stdout], [0, "anna@anna.example can log in and gets mail\n"]);
    assert.deepEqual(accounts.addresses(), ["anna@anna.example"]);
    const [hash] = accounts.hashes();
    assert.match(String(hash), /^\{ARGON2ID\}\$argon2id\$v=19\$m=65536,t=3,p=1\$/);
    const verify = `from argon2 import PasswordHasher; import sys
hash, right, wrong = sys.argv[1:]
PasswordHasher().verify(hash, right)
try: PasswordHasher().verify(hash, wrong)
except Exception: print("refused")`;
    const verified = spawnSync(
      "/usr/bin/python3",
      ["-c", verify, String(hash).replace("{ARGON2ID}", ""), password, `${password}!`],
      { encoding: "utf8" },
    );
    assert.deepEqual([verified.status, verified.stdout], [0, "refused\n"]);
  });

  test("has its hash where Postfix can't read it, and nobody else reads either file", () => {
    using accounts = new Accounts();
    const owner = (file: string) => readFileSync(join(accounts.root, "owners", file), "utf8");
    assert.equal(owner("mail.sqlite"), "postfix");
    assert.equal(owner("passwords.sqlite"), "dovecot");
    for (const file of ["mail.sqlite", "passwords.sqlite"]) {
      const { mode } = statSync(join(accounts.root, "accounts", file));
      assert.equal((mode & 0o777).toString(8), "640");
    }
    const { root } = accounts;
    assert.equal(
      readFileSync(join(root, "accounts", "mail.sqlite"), "latin1").includes("argon2id"),
      false,
    );
  });

  test("of a name that is no address here is refused, however it is written", () => {
    using accounts = new Accounts();
    const bad = [
      ...[
        "",
        "@",
        "anna",
        "@anna.example",
        "anna@",
        "anna@other.example",
        "anna@anna.example@anna.example",
      ],
      ...[
        "../../etc@anna.example",
        "a/b@anna.example",
        "a..b@anna.example",
        ".a@anna.example",
        "a.@anna.example",
      ],
      ...[
        "a b@anna.example",
        "a\n@anna.example",
        "a@anna.example\n",
        "a'--@anna.example",
        'a"@anna.example',
      ],
      ...[
        "a%@anna.example",
        "a+b@anna.example",
        "ä@anna.example",
        "\u{1f34e}@anna.example",
        "$(id)@anna.example",
      ],
      ...[
        `${"a".repeat(65)}@anna.example`,
        "a\\@anna.example",
        "a@anna.example.",
        "a;b@anna.example",
        "*@anna.example",
      ],
    ];
    for (const address of bad) {
      const { status, stderr } = accounts.run(
        ["user", "add", "--password-stdin", "--", address],
        password,
      );
      assert.equal(status, 1, `${address}: ${stderr}`);
      assert.match(stderr, /^mailfruit: ('|").* is no address for a mailbox|takes no mail for/);
      assert.doesNotMatch(stderr, /Traceback/);
    }
    assert.deepEqual(accounts.addresses(), []);
    assert.deepEqual(accounts.hashes(), []);
  });

  test("of a usual name is taken", () => {
    using accounts = new Accounts();
    const good = ["a", "a-b", "a.b_c-d", "0", "a".repeat(64)].map((name) => `${name}@anna.example`);
    for (const address of good) assert.equal(accounts.add(address).status, 0, address);
    assert.deepEqual(accounts.addresses(), good.sort());
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
      const { status, stderr } = accounts.run(
        ["user", "add", "a@anna.example", "--password-stdin"],
        given,
      );
      assert.equal(status, 1);
      assert.match(stderr, /^mailfruit: a password (has|is) /);
    }
    assert.deepEqual(accounts.addresses(), []);
    const { status } = accounts.run(
      ["user", "add", "a@anna.example", "--password-stdin"],
      "pässwörter ☕ gehen\n",
    );
    assert.equal(status, 0);
  });

  test("that is there already keeps its password; only passwd and --or-update change it", () => {
    using accounts = new Accounts();
    accounts.add("a@anna.example");
    const before = accounts.hashes();
    const again = accounts.run(
      ["user", "add", "a@anna.example", "--password-stdin"],
      "another password",
    );
    assert.equal(again.status, 1);
    assert.match(again.stderr, /is there already; `mailfruit user passwd a@anna\.example` changes/);
    assert.deepEqual(accounts.hashes(), before);
    assert.equal(accounts.add("a@anna.example", "--or-update").status, 0);
    assert.deepEqual(accounts.hashes(), before, "the same password isn't hashed anew");
    const changed = accounts.run(
      ["user", "passwd", "A@anna.example", "--password-stdin"],
      "another password",
    );
    assert.equal(changed.status, 0);
    assert.notDeepEqual(accounts.hashes(), before);
  });

  test("gets the room that was asked for, and an impossible quota makes no account", () => {
    using accounts = new Accounts();
    accounts.add("a@anna.example", "--quota", "5");
    accounts.add("b@anna.example");
    assert.equal(
      accounts.run(["user", "list"]).stdout,
      "a@anna.example\t5 MiB\nb@anna.example\t1024 MiB\n",
    );
    for (const quota of ["-1", "1.5", "9".repeat(30), "ten"])
      assert.equal(accounts.add("c@anna.example", `--quota=${quota}`).status, 2);
    assert.equal(accounts.hashes().length, 2);
  });

  test("is deleted with its hash; its mail only when asked", () => {
    using accounts = new Accounts();
    const home = join(accounts.root, "home", "anna.example", "a");
    mkdirSync(home, { recursive: true });
    accounts.add("a@anna.example");
    assert.match(
      accounts.run(["user", "delete", "a@anna.example"]).stdout,
      /is gone; its mail stays in /,
    );
    assert.deepEqual([accounts.addresses(), accounts.hashes(), existsSync(home)], [[], [], true]);
    accounts.add("a@anna.example");
    accounts.run(["user", "delete", "a@anna.example", "--with-mail"]);
    assert.equal(existsSync(home), false);
    const absent = accounts.run(["user", "delete", "a@anna.example"]);
    assert.deepEqual(
      [absent.status, absent.stderr],
      [1, "mailfruit: there is no mailbox a@anna.example\n"],
    );
  });

  test("of a domain that the stack gave up can still be deleted", () => {
    using accounts = new Accounts();
    accounts.add("a@anna.example");
    accounts.give({ ...stack, domains: ["bert.example"] });
    accounts.run(["sync"]);
    assert.equal(accounts.run(["user", "delete", "a@anna.example"]).status, 0);
    assert.deepEqual(accounts.addresses(), []);
  });

  test("asked for by many at once is made once, and each of many is made", async () => {
    using accounts = new Accounts();
    const addresses = ["a", "a", "b", "c", "d", "e"].map((name) => `${name}@anna.example`);
    const codes = await Promise.all(
      addresses.map(async (address) => {
        const args = [probe, accounts.root, "user", "add", address, "--password-stdin"];
        const child = spawn("/usr/bin/python3", args, { stdio: ["pipe", "ignore", "pipe"] });
        child.stdin.end(password);
        const ended = new Promise((resolve) => child.on("close", resolve));
        const words = await text(child.stderr);
        assert.doesNotMatch(words, /Traceback|locked/);
        return ended;
      }),
    );
    assert.deepEqual(codes.sort(), [0, 0, 0, 0, 0, 1]);
    assert.equal(accounts.hashes().length, 5);
  });
});

suite("the stack's domains and aliases", { skip: cannotRun }, () => {
  test("come to the server, and a second time change nothing", () => {
    using accounts = new Accounts();
    const state = () => [accounts.rows("mail", "SELECT name FROM domains"), accounts.aliases()];
    const before = state();
    assert.deepEqual(before, [
      ["anna.example"],
      ["postmaster@anna.example anna@elsewhere.example"],
    ]);
    assert.equal(accounts.run(["sync"]).status, 0);
    assert.deepEqual(state(), before);
  });

  test("become what the stack says; what an administrator made stays", () => {
    using accounts = new Accounts();
    const db = new DatabaseSync(join(accounts.root, "accounts", "mail.sqlite"));
    db.exec("INSERT INTO aliases VALUES ('us@anna.example', 'a@anna.example', 'admin')");
    db.close();
    accounts.add("a@anna.example");
    accounts.give({ ...stack, aliases: { "abuse@anna.example": ["b@x.example", "c@x.example"] } });
    assert.equal(accounts.run(["sync"]).status, 0);
    assert.deepEqual(accounts.aliases(), [
      "abuse@anna.example b@x.example",
      "abuse@anna.example c@x.example",
      "us@anna.example a@anna.example",
    ]);
    assert.deepEqual(accounts.addresses(), ["a@anna.example"]);
  });

  test("without debug there is no user for trying things out, and nobody else goes", () => {
    using accounts = new Accounts();
    accounts.add("test@anna.example", "--origin", "debug", "--or-update");
    accounts.add("a@anna.example");
    accounts.run(["sync"]);
    assert.deepEqual(accounts.addresses(), ["a@anna.example", "test@anna.example"]);
    accounts.give({ ...stack, debugUsers: [] });
    accounts.run(["sync"]);
    assert.deepEqual(accounts.addresses(), ["a@anna.example"]);
    assert.equal(accounts.hashes().length, 1);
  });

  test("a proof of the mail path that was cut off is cleared away by the next one", () => {
    using accounts = new Accounts();
    accounts.add("probe-1@anna.example", "--origin", "probe");
    mkdirSync(join(accounts.root, "home", "anna.example", "probe-1"), { recursive: true });
    accounts.add("probe-2@anna.example", "--origin", "probe");
    assert.deepEqual(accounts.addresses(), ["probe-2@anna.example"]);
    assert.equal(existsSync(join(accounts.root, "home", "anna.example", "probe-1")), false);
  });

  test("killed before the end, a change is not there at all, in neither file, and the next one works", () => {
    using accounts = new Accounts();
    accounts.add("a@anna.example");
    const state = () => [accounts.addresses(), accounts.hashes(), accounts.aliases()];
    const before = state();
    const kills = [
      ["user", "add", "b@anna.example", "--password-stdin"],
      ["user", "passwd", "a@anna.example", "--password-stdin"],
      ["user", "delete", "a@anna.example"],
      ["sync"],
    ];
    accounts.give({ domains: ["bert.example"], aliases: {}, debugUsers: [] });
    for (const args of kills) {
      const { signal } = accounts.run(["--kill-at-commit", ...args], "another password");
      assert.equal(signal, "SIGKILL");
      assert.equal(accounts.run(["user", "list"]).stdout, "a@anna.example\t1024 MiB\n");
      assert.deepEqual(state(), before);
    }
  });

  test("an accounts' folder that isn't there, as without its volume, is a sentence", () => {
    using accounts = new Accounts(false);
    rmSync(join(accounts.root, "accounts"), { recursive: true });
    const { status, stderr } = accounts.run(["sync"]);
    assert.equal(status, 1);
    assert.match(stderr, /^mailfruit: .*No such file or directory.*mail\.sqlite/);
  });
});
