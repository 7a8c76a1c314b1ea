import assert from "node:assert/strict";
import { existsSync, mkdirSync, readdirSync } from "node:fs";
import { suite, test } from "node:test";
import { randomNumbers } from "./random.ts";
import { Accounts, accountsCannotRun, stack } from "./server/accounts.ts";

const anna = "anna@anna.example";
const seed = Number(process.env.TEST_SEED ?? 4711);

suite("aliases", { skip: accountsCannotRun }, () => {
  test("lead to one or more addresses, here or elsewhere; a detail or a whole domain has its own", () => {
    using accounts = new Accounts();
    accounts.does(["user", "add", anna, "--invite"]);
    accounts.does(["alias", "add", "Info@anna.example", anna, "o'neil+x@else.example"]);
    accounts.does(["alias", "add", "anna+shop@anna.example", "bert@anna.example"]);
    accounts.does(["alias", "add", "@anna.example", anna]);
    assert.deepEqual(accounts.aliases(), [
      "@anna.example anna@anna.example",
      "anna+shop@anna.example bert@anna.example",
      "info@anna.example anna@anna.example",
      "info@anna.example o'neil+x@else.example",
      "postmaster@anna.example anna@elsewhere.example",
    ]);
    assert.equal(
      accounts.does(["alias", "list", "@anna.example"]),
      "@anna.example\tanna@anna.example\tadmin\n",
    );
    accounts.does(["alias", "delete", "info@anna.example", anna]);
    accounts.does(["alias", "delete", "@anna.example"]);
    assert.equal(accounts.aliases().length, 3);
    accounts.refuses(/there is no alias/, ["alias", "delete", "info@anna.example", anna]);
  });

  test("never take a mailbox's mail away, nor a mailbox an alias's", () => {
    using accounts = new Accounts();
    accounts.does(["user", "add", anna, "--invite"]);
    accounts.does(["alias", "add", "us@anna.example", anna]);
    accounts.refuses(/is a mailbox/, ["alias", "add", anna, "x@else.example"]);
    accounts.refuses(/is an alias/, ["user", "add", "us@anna.example", "--invite"]);
  });

  test("that lead to themselves, at once or over others, are refused", () => {
    using accounts = new Accounts();
    const loop = /would lead to itself/;
    accounts.refuses(loop, ["alias", "add", "a@anna.example", "A@anna.example"]);
    accounts.does(["alias", "add", "a@anna.example", "b@anna.example"]);
    accounts.does(["alias", "add", "b@anna.example", "x@else.example", "c@anna.example"]);
    accounts.refuses(loop, ["alias", "add", "c@anna.example", "d@anna.example", "a@anna.example"]);
    accounts.refuses(loop, ["alias", "add", "e@anna.example", "e+shop@anna.example"]);
    accounts.does(["alias", "add", "@anna.example", "f@else.example"]);
    accounts.does(["alias", "add", "g@anna.example", "nobody@anna.example"]);
    accounts.refuses(loop, ["alias", "add", "@anna.example", "g@anna.example"]);
  });

  test("of other domains are refused, and the stack's own are changed by the stack alone", () => {
    using accounts = new Accounts();
    accounts.refuses(/takes no mail for 'other\.example'/, [
      "alias",
      "add",
      "a@other.example",
      anna,
    ]);
    accounts.refuses(/is the stack's/, ["alias", "delete", "postmaster@anna.example"]);
    accounts.does(["alias", "add", "postmaster@anna.example", anna]);
    accounts.does(["alias", "delete", "postmaster@anna.example", anna]);
  });
});

suite("domains", { skip: accountsCannotRun }, () => {
  test("can be added, and go only when nothing is in them", () => {
    using accounts = new Accounts();
    accounts.does(["domain", "add", "Bert.example"]);
    accounts.refuses(/is taken already/, ["domain", "add", "bert.example"]);
    accounts.does(["user", "add", "b@bert.example", "--invite"]);
    accounts.refuses(/b@bert\.example is in bert\.example/, ["domain", "delete", "bert.example"]);
    accounts.does(["user", "delete", "b@bert.example", "--with-mail"]);
    accounts.does(["alias", "add", "@bert.example", anna]);
    accounts.refuses(/@bert\.example is in bert\.example/, ["domain", "delete", "bert.example"]);
    accounts.does(["alias", "delete", "@bert.example"]);
    accounts.does(["domain", "delete", "bert.example"]);
    accounts.refuses(/takes no mail for bert\.example/, ["domain", "delete", "bert.example"]);
    accounts.refuses(/is the stack's/, ["domain", "delete", "anna.example"]);
  });

  test("are told apart from those that only end like them", () => {
    using accounts = new Accounts();
    accounts.does(["domain", "add", "a.example"]);
    accounts.does(["domain", "add", "sub.a.example"]);
    accounts.does(["user", "add", "x@sub.a.example", "--invite"]);
    accounts.does(["domain", "delete", "a.example"]);
    assert.deepEqual(accounts.rows("mail", "SELECT name FROM domains ORDER BY name"), [
      "anna.example",
      "sub.a.example",
    ]);
  });
});

suite("what the stack declares", { skip: accountsCannotRun }, () => {
  test("comes to the server, and a second time changes nothing", () => {
    using accounts = new Accounts();
    accounts.give({ ...stack, mailboxes: { [anna]: { quota_mib: 5 }, "b@anna.example": {} } });
    assert.match(
      accounts.does(["sync"]),
      /^anna@anna\.example waits for its invitation: `mailfruit user invite/,
    );
    assert.deepEqual(accounts.rows("mail", "SELECT * FROM mailboxes ORDER BY address"), [
      `${anna} 5 stack 0`,
      "b@anna.example 1024 stack 0",
    ]);
    const before = accounts.everything();
    assert.equal(accounts.does(["sync"]), "");
    assert.deepEqual(accounts.everything(), before);
    assert.deepEqual(accounts.slots(), [], "nobody can log in as yet");
  });

  test("replaces the stack's domains and aliases; what an administrator made stays", () => {
    using accounts = new Accounts();
    accounts.does(["domain", "add", "bert.example"]);
    accounts.does(["alias", "add", "us@anna.example", anna]);
    accounts.does(["user", "add", anna, "--invite"]);
    accounts.give({ ...stack, aliases: { "abuse@anna.example": ["b@x.example", "c@x.example"] } });
    accounts.does(["sync"]);
    assert.deepEqual(accounts.aliases(), [
      "abuse@anna.example b@x.example",
      "abuse@anna.example c@x.example",
      `us@anna.example ${anna}`,
    ]);
    assert.deepEqual(accounts.addresses(), [anna]);
    accounts.give({ domains: ["carl.example"], aliases: {}, debugUsers: [] });
    accounts.does(["sync"]);
    assert.deepEqual(accounts.rows("mail", "SELECT * FROM domains ORDER BY name"), [
      "bert.example admin",
      "carl.example stack",
    ]);
  });

  test("changes a mailbox's room, and keeps its keys, its mail and a room that it doesn't name", () => {
    using accounts = new Accounts();
    accounts.add(anna, "--quota", "9");
    const slots = accounts.slots();
    accounts.give({ ...stack, mailboxes: { [anna]: {} } });
    accounts.does(["sync"]);
    assert.deepEqual(accounts.rows("mail", "SELECT quota_mib FROM mailboxes"), ["9"]);
    accounts.give({ ...stack, mailboxes: { [anna]: { quota_mib: 0 } } });
    accounts.does(["sync"]);
    assert.deepEqual(accounts.rows("mail", "SELECT quota_mib, keyed FROM mailboxes"), ["0 1"]);
    assert.deepEqual(accounts.slots(), slots);
  });

  test("deletes a mailbox only where it says so; one that vanished from it stays", () => {
    using accounts = new Accounts();
    accounts.give({ ...stack, mailboxes: { [anna]: {}, "b@anna.example": {} } });
    accounts.does(["sync"]);
    accounts.give(stack);
    accounts.does(["sync"]);
    assert.deepEqual(accounts.addresses(), [anna, "b@anna.example"]);
    const home = accounts.path("home", "anna.example", "anna");
    mkdirSync(home, { recursive: true });
    const gone = { delete: true, backup: "none" };
    accounts.give({ ...stack, mailboxes: { [anna]: gone, "never@anna.example": gone } });
    assert.equal(
      accounts.does(["sync"]),
      "anna@anna.example and its mail are gone, as the stack says\n",
    );
    assert.deepEqual([accounts.addresses(), existsSync(home)], [["b@anna.example"], false]);
  });

  test("takes no mailbox's mail away by an alias, and gives no mailbox an alias's address", () => {
    using accounts = new Accounts();
    accounts.does(["user", "add", anna, "--invite"]);
    accounts.give({ ...stack, aliases: { [anna]: ["x@else.example"] } });
    accounts.does(["sync"]);
    assert.deepEqual(accounts.aliases(), []);
    accounts.does(["alias", "add", "us@anna.example", anna]);
    accounts.give({ ...stack, mailboxes: { "us@anna.example": {} } });
    accounts.refuses(/is an alias/, ["sync"]);
  });

  test("without debug there is no user for trying things out, and nobody else goes", () => {
    using accounts = new Accounts();
    accounts.add("test@anna.example", "--origin", "debug", "--or-update");
    accounts.add(anna);
    accounts.does(["sync"]);
    assert.deepEqual(accounts.addresses(), [anna, "test@anna.example"]);
    accounts.give({ ...stack, debugUsers: [] });
    accounts.does(["sync"]);
    assert.deepEqual(accounts.addresses(), [anna]);
  });
});

/** Names that somebody might try things with: usual ones with hostile parts put in, cut, doubled or spelt otherwise. */
function hostileNames(count: number, throughArgv: boolean): string[] {
  const next = randomNumbers(seed);
  const pick = <T>(list: readonly T[]): T => list[next(list.length)] ?? assert.fail();
  const code = (from: number, to: number) => String.fromCodePoint(from + next(to - from));
  const plain = [
    "a",
    "anna",
    "0",
    "x-y",
    "a.b",
    "a_b",
    "A",
    "aNNa",
    "q".repeat(64),
    "xn--a",
    "probe-1",
  ];
  const domains = [
    "anna.example",
    "ANNA.example",
    "anna.example.",
    "other.example",
    "bert.example",
    "1.2.3.4",
  ];
  const parts = [
    ...[
      "'",
      '"',
      "`",
      "\\",
      ";",
      "--",
      "/*",
      "' OR 1=1 --",
      "'); DROP TABLE mailboxes; --",
      "%",
      "_",
    ],
    ...[
      "$(id)",
      "`id`",
      "|id",
      "&",
      "<",
      ">",
      "*",
      "?",
      "~",
      "{a,b}",
      "$HOME",
      "!",
      "#",
      "%s",
      "{0}",
      "%{user}",
    ],
    ...[
      "../",
      "..",
      "/",
      "/etc/passwd",
      ".",
      "./",
      "//",
      "\\..\\",
      "@",
      "@@",
      "+",
      "+x",
      "++",
      ":",
      ",",
      "(c)",
      "[::1]",
    ],
    ...[
      "\n",
      "\r\n",
      "\t",
      " ",
      "\u001b[2J",
      "\u007f",
      "\u0085",
      "\u00a0",
      "\u2028",
      "\u200b",
      "\u202e",
      "\ufeff",
    ],
    ...["ä", "\u0130", "\u017f", "\u212a", "ａ", "．", "＠", "а", "\u{1f34e}", "e\u0301", "\u0301"],
    ...["-", "--json", "--help", "-h", "=", "a".repeat(70), "a.".repeat(130), "x".repeat(5000)],
    ...(throughArgv ? [] : ["\u0000", "\ud800", "\udfff", "a\u0000b"]),
  ];
  const make = () => {
    let name = next(8) === 0 ? pick(plain) : `${pick(plain)}@${pick(domains)}`;
    for (let n = next(4); n > 0; n--) {
      const at = next(name.length + 1);
      const part = next(4) === 0 ? code(1, next(2) === 0 ? 0x80 : 0xd7ff) : pick(parts);
      name = name.slice(0, at) + part + name.slice(at + next(2));
    }
    return name;
  };
  return Array.from({ length: count }, make);
}

// Not the program's own rules: what may stand in a file name, an SQL text and Postfix's tables without a second thought.
const wholeDomain = String.raw`@(?=[^@]{3,253}$)(?:[a-z\d](?:[a-z\d-]*[a-z\d])?\.)+[a-z\d-]*[a-z][a-z\d-]*`;
const safe = {
  mailboxes: new RegExp(
    `^(?!.*\\.\\.)(?=[^@]{1,64}@)[a-z\\d](?:[a-z\\d._-]*[a-z\\d])?${wholeDomain}$`,
  ),
  aliases: new RegExp(
    `^(?!.*\\.\\.)(?:[a-z\\d](?:[a-z\\d._-]*[a-z\\d])?(?:\\+[a-z\\d._-]{1,32})?)?${wholeDomain}$`,
  ),
  domains: new RegExp(`^${wholeDomain.slice(1)}$`),
};

suite("hostile names", { skip: accountsCannotRun }, () => {
  test("that are classics are refused for a mailbox and for a domain", async () => {
    using accounts = new Accounts();
    const locals = [
      "",
      "a..b",
      ".a",
      "a.",
      "a b",
      "a\n",
      "a'--",
      'a"',
      "a%",
      "a+b",
      "ä",
      "$(id)",
      "a/b",
      "../../etc",
    ];
    const names = [...locals, "a\\", "a;b", "*", "a@b", "-a", "a".repeat(65)].map(
      (name) => `${name}@anna.example`,
    );
    names.push(
      "anna",
      "@",
      "a@",
      "a@anna.example.",
      "a@anna.example\n",
      "a@other.example",
      "a@\u0000",
    );
    const commands = names.flatMap((name) => [
      ["user", "add", "--invite", "--", name],
      ["domain", "add", "--", name],
    ]);
    for (const [n, [status]] of (await accounts.many(commands)).entries())
      if (commands[n]?.at(-1) !== "anna") assert.equal(status, 1, JSON.stringify(commands[n]));
    assert.deepEqual(accounts.addresses(), []);
  });

  const commands = (name: string, n: number) =>
    [
      ["user", "add", "--invite", "--", name],
      ["alias", "add", "--", name, anna],
      ["alias", "add", "--", "x@anna.example", name],
      ["domain", "add", "--", name],
    ][n % 4] ?? assert.fail();

  /** Everything that is stored is safe to store, and nothing lies where nothing should. */
  function nothingElse(accounts: Accounts): number {
    let stored = 0;
    for (const [table, column] of [
      ["mailboxes", "address"],
      ["aliases", "address"],
      ["domains", "name"],
    ] as const)
      for (const name of accounts.rows("mail", `SELECT DISTINCT ${column} FROM ${table}`)) {
        assert.match(name, safe[table]);
        stored++;
      }
    for (const address of accounts.rows("mail", "SELECT destination FROM aliases"))
      assert.match(address, /^[a-z\d!#&'*/=?^_`{}~+.-]{1,64}@[a-z\d.-]+$/);
    assert.deepEqual(accounts.rows("keys", "SELECT * FROM logins"), []);
    assert.deepEqual(readdirSync(accounts.folder).sort(), ["keys.sqlite", "mail.sqlite"]);
    assert.deepEqual(readdirSync(accounts.path("home")), []);
    const all = readdirSync(accounts.root).sort();
    assert.deepEqual(all, ["accounts", "accounts.json", "cache", "home", "owners"]);
    return stored;
  }

  test("10,000 of them leave nothing behind but refusals and addresses that are none", async (t) => {
    t.diagnostic(`TEST_SEED=${seed}`);
    using accounts = new Accounts();
    const names = hostileNames(10_000, false);
    const ends = await accounts.many(names.map(commands));
    ends.forEach(([status, , stderr], n) => {
      const name = JSON.stringify(names[n]);
      assert.ok(status === 0 || status === 1, `${name}: ${status} ${stderr}`);
      if (status === 1) assert.match(stderr, /^mailfruit: [\x20-\x7e…\n]+$/, name);
    });
    const taken = ends.filter(([status]) => status === 0).length;
    const stored = nothingElse(accounts);
    t.diagnostic(`${10_000 - taken} refused, ${taken} taken`);
    assert.ok(stored > 20 && taken < 4000, "some of them are usual names");
  });

  test("are refused as arguments of the real program, too, without a traceback", () => {
    using accounts = new Accounts();
    hostileNames(100, true).forEach((name, n) => {
      const { status, stderr } = accounts.run(commands(name, n));
      assert.ok(status === 0 || status === 1, `${JSON.stringify(name)}: ${status} ${stderr}`);
      assert.doesNotMatch(stderr, /Traceback/);
    });
    nothingElse(accounts);
  });

  test("without -- an option is no name, and a name is no option", () => {
    using accounts = new Accounts();
    for (const name of ["-h@anna.example", "--json@anna.example", "-"])
      assert.notEqual(accounts.run(["user", "add", "--invite", name]).status, 0);
    assert.deepEqual(accounts.addresses(), []);
  });

  test("that are no UTF-8 are refused by every command that takes a name", () => {
    using accounts = new Accounts();
    accounts.does(["user", "add", anna, "--invite"]);
    const bad = "$(printf 'a\\377')";
    for (const args of [
      `user add --invite ${bad}@anna.example`,
      `user show ${bad}`,
      `alias add ${bad}@anna.example ${anna}`,
      `alias list ${bad}`,
      `alias delete us@anna.example ${bad}`,
      `domain add ${bad}.example`,
      `domain delete ${bad}.example`,
      `app delete ${anna} ${bad}`,
    ]) {
      const { status, stderr } = accounts.shell(args);
      assert.equal(status, 1, `${args}: ${stderr}`);
      assert.match(stderr, /^mailfruit: /, args);
    }
  });
});
