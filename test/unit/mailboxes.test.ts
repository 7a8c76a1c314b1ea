import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { test } from "node:test";
import { parse } from "yaml";
import { z } from "zod";
import { variables } from "../../components/roles/users.ts";
import { mailboxesExample } from "../../settings/mailboxes.ts";
import { parseSettings, type Settings, SettingsError } from "../../settings.ts";
import { defaults } from "./defaults.ts";
import { randomNumbers } from "./random.ts";

const domain = "example.org";

/** The settings with these mailboxes, as the engine hands them on: as JSON. */
function read(mailboxes: unknown, texts: Record<string, string> = {}, secret = false): Settings {
  const given = {
    ...defaults,
    mailDomain: domain,
    adminEmail: "anna@elsewhere.example",
    mailboxes: typeof mailboxes === "string" ? mailboxes : JSON.stringify(mailboxes),
    ...texts,
  };
  const full = Object.entries(given).map(([name, text]) => [`mailfruit:${name}`, text]);
  return parseSettings(Object.fromEntries(full), { isSecret: () => secret });
}

function problemsOf(mailboxes: unknown, texts: Record<string, string> = {}, secret = false) {
  try {
    read(mailboxes, texts, secret);
  } catch (error) {
    if (error instanceof SettingsError) return error.problems;
    throw error;
  }
  return assert.fail(`taken: ${JSON.stringify(mailboxes)}`);
}

/** The only problem of a mailbox of Anna's of which this is said. */
function problem(said: unknown) {
  const problems = problemsOf({ [`anna@${domain}`]: said });
  assert.equal(problems.length, 1, JSON.stringify(problems));
  const [only] = problems;
  assert.ok(only);
  return only;
}

const anna = 'mailboxes["anna@example.org"]';

test("the example of the documentation is taken as it says", () => {
  const file = z
    .object({ config: z.record(z.string(), z.unknown()) })
    .parse(parse(mailboxesExample));
  assert.deepEqual(read(file.config["mailfruit:mailboxes"]).mailboxes, [
    {
      kind: "kept",
      address: "anna@example.org",
      quotaMib: 2048,
      aliases: ["info@example.org", "anna+shop@example.org"],
    },
    { kind: "kept", address: "bert@example.org", quotaMib: null, aliases: [] },
    {
      kind: "deleted",
      address: "carl@example.org",
      backup: "copied to the archive on 2026-11-25",
    },
  ]);
});

test("a mailbox of which nothing is said is one, and upper case is lower case", () => {
  const { mailboxes } = read({ "Anna@Example.ORG": null, "bert@example.org": {} });
  assert.deepEqual(
    mailboxes.map(({ address }) => address),
    ["anna@example.org", "bert@example.org"],
  );
});

test("an address that the server's program would not take is refused, with the command that removes it", () => {
  for (const name of [
    ...["", "anna", "@", "@example.org", "anna@", "anna@@example.org", "a b@example.org"],
    ...[".anna@example.org", "anna.@example.org", "an..na@example.org", "-anna@example.org"],
    ...[
      "anna+shop@example.org",
      "an\nna@example.org",
      `${"a".repeat(65)}@example.org`,
      "__proto__",
    ],
    ...["'$(id)'@example.org", '"anna"@example.org', "anna@other.example", "anna@mail.example.org"],
  ]) {
    const [found, ...others] = problemsOf({ [name]: {} });
    assert.deepEqual(others, []);
    assert.match(
      found?.message ?? "",
      /^must have letters|outside of the mail domain example\.org/,
    );
    assert.match(found?.mend ?? "", /^pulumi config rm --path /);
  }
});

test("an address beyond ASCII is refused with a sentence of its own", () => {
  for (const name of ["änna@example.org", "anna@exämple.org", "аnna@example.org"])
    assert.match(problemsOf({ [name]: {} })[0]?.message ?? "", /RFC 6531.*spell it with a to z/);
});

test("the server's program takes every address that is taken here", () => {
  const random = randomNumbers(25);
  const letters = ["a", "z", "0", ".", "_", "-", "+", "@", "A", " ", "é", "'"];
  const names = Array.from({ length: 800 }, () =>
    Array.from({ length: 1 + random(7) }, () => letters[random(letters.length)]).join(""),
  ).map((name) => `${name}@${domain}`);
  const lib = join(import.meta.dirname, "../../files/users/usr/local/lib/mailfruit");
  const script = `
import json, sys
sys.dont_write_bytecode = True
sys.path.insert(0, sys.argv[1])
from accounts import names
def taken(check, text):
    try:
        return check(text) == text.lower()
    except names.Refusal:
        return False
print(json.dumps([[taken(names.mailbox, n), taken(names.alias, n)] for n in json.load(sys.stdin)]))`;
  const { stdout, stderr } = spawnSync("/usr/bin/python3", ["-c", script, lib], {
    input: JSON.stringify(names),
    encoding: "utf8",
  });
  assert.equal(stderr, "");
  const theirs = z.array(z.tuple([z.boolean(), z.boolean()])).parse(JSON.parse(stdout));
  const isTaken = (mailboxes: unknown) => {
    try {
      return read(mailboxes).mailboxes.length > 0;
    } catch {
      return false;
    }
  };
  const ours = names.map((name) => [
    isTaken({ [name]: {} }),
    isTaken({ "owner@example.org": { aliases: [name] } }),
  ]);
  for (const [index, name] of names.entries()) {
    const [asMailbox, asAlias] = ours[index] ?? [];
    assert.equal(asMailbox, theirs[index]?.[0], name);
    if (asAlias) assert.ok(theirs[index]?.[1], name);
  }
  assert.ok(ours.some(([asMailbox]) => asMailbox) && ours.some(([, asAlias]) => asAlias));
});

test("a wrong value is refused with its place, and the command that sets it", () => {
  const quota = (value: unknown) => problem({ quota: value });
  for (const value of ["2048", 1.5, -1, null, true, 1e12, [1]]) {
    assert.equal(quota(value).key, `mailfruit:${anna}.quota`);
    assert.equal(quota(value).mend, `pulumi config set --path '${anna}.quota' 2048`);
  }
  for (const value of ["info@example.org", null, { a: 1 }])
    assert.equal(
      problem({ aliases: value }).mend,
      `pulumi config rm --path '${anna}.aliases' && pulumi config set --path '${anna}.aliases[0]' info@example.org`,
    );
  for (const value of [
    1,
    null,
    "info",
    "info@other.example",
    "a b@example.org",
    "anna+@example.org",
  ])
    assert.equal(
      problem({ aliases: ["x@example.org", value] }).mend,
      `pulumi config set --path '${anna}.aliases[1]' info@example.org`,
    );
  for (const value of ["text", 1, [], "{}"])
    assert.match(problem(value).message, /must be a mapping with quota, aliases, delete or backup/);
});

test("a mailbox is deleted only in as many words, and with a note on its backup", () => {
  assert.match(problem({ delete: true }).message, /must say where the mail is kept/);
  assert.match(problem({ delete: true }).mend, /\.backup' 'copied to the archive/);
  for (const backup of ["", " ", "a\nb", 1, "x".repeat(201)])
    assert.match(problem({ delete: true, backup }).message, /must be one line/);
  for (const value of [false, "true", 1])
    assert.match(problem({ delete: value, backup: "copied" }).message, /must be true/);
  assert.equal(problem({ backup: "copied" }).message, "means nothing without delete");
  assert.equal(
    problem({ delete: true, backup: "copied", quota: 1 }).message,
    "means nothing with delete",
  );
});

test("a password has no place here, and no value is ever shown", () => {
  for (const key of ["password", "passwd", "pw", "secret", "hash", "app-key"]) {
    const found = problem({ [key]: "canary-4711" });
    assert.match(found.message, /no password stands here/);
    assert.match(found.mend, /^pulumi config rm --path /);
    assert.doesNotMatch(JSON.stringify(found), /canary-4711/);
  }
  for (const said of ["canary-4711", { aliases: ["canary-4711"] }, { quota: "canary-4711" }])
    assert.doesNotMatch(JSON.stringify(problem(said)), /canary-4711/);
  assert.equal(problem({ qouta: 1 }).message, "is none of quota, aliases, delete, backup");
  assert.doesNotMatch(JSON.stringify(problemsOf('["canary-4711"]')), /canary-4711/);
});

test("a secret among the mailboxes is refused, whatever it is", () => {
  const problems = problemsOf({ "anna@example.org": { quota: 1 } }, {}, true);
  assert.deepEqual(
    problems.map(({ key }) => key),
    ["mailfruit:mailboxes"],
  );
  assert.match(problems[0]?.message ?? "", /has a secret in it/);
});

test("an address stands once, be it as a mailbox or as an alias", () => {
  const messages = (mailboxes: unknown, texts = {}) =>
    problemsOf(mailboxes, texts).map(({ message }) => message);
  assert.deepEqual(messages({ "anna@example.org": {}, "Anna@example.org": {} }), [
    "stands here twice, in upper and lower case",
  ]);
  assert.deepEqual(
    messages({ "anna@example.org": { aliases: ["bert@example.org"] }, "bert@example.org": {} }),
    ["is a mailbox itself"],
  );
  assert.deepEqual(messages({ "anna@example.org": { aliases: ["Anna@example.org"] } }), [
    "is a mailbox itself",
  ]);
  assert.deepEqual(
    messages({ "anna@example.org": { aliases: ["info@example.org", "Info@example.org"] } }),
    ["stands here twice"],
  );
  const debug = { debug: "true" };
  assert.deepEqual(messages({ "test@example.org": {} }, debug), [
    "is made by the setting debug already",
  ]);
  assert.deepEqual(messages({ "anna@example.org": { aliases: ["test@example.org"] } }, debug), [
    "is a mailbox itself",
  ]);
});

test("what is no mapping is refused", () => {
  for (const text of ["[]", "null", "1", '"x"', "{", "x"])
    assert.match(problemsOf(text)[0]?.message ?? "", /^must be a mapping of mail addresses/);
});

test("problems of mailboxes are reported together, and with the others", () => {
  const problems = problemsOf(
    {
      anna: { quota: "x" },
      "bert@example.org": { delete: true },
      "carl@example.org": { quota: "x", password: "y" },
    },
    { size: "" },
  );
  assert.deepEqual(problems.map(({ key }) => key).sort(), [
    "mailfruit:mailboxes.anna",
    'mailfruit:mailboxes["bert@example.org"].backup',
    'mailfruit:mailboxes["carl@example.org"].password',
    'mailfruit:mailboxes["carl@example.org"].quota',
    "mailfruit:size",
  ]);
});

const accounts = z.looseObject({
  aliases: z.record(z.string(), z.array(z.string())),
  mailboxes: z.record(z.string(), z.unknown()),
});
const accountsOf = (settings: Settings) => accounts.parse(JSON.parse(variables(settings).accounts));

test("the server is told which mailboxes have to be there, which have to go, and where aliases lead", () => {
  const { mailboxes, aliases } = accountsOf(
    read({
      "anna@example.org": { quota: 2048, aliases: ["info@example.org", "anna+shop@example.org"] },
      "bert@example.org": { aliases: ["info@example.org"] },
      "carl@example.org": { delete: true, backup: "on the shelf" },
    }),
  );
  assert.deepEqual(mailboxes, {
    "anna@example.org": { quota_mib: 2048 },
    "bert@example.org": { quota_mib: null },
    "carl@example.org": { delete: true, backup: "on the shelf" },
  });
  assert.deepEqual(aliases["info@example.org"], ["anna@example.org", "bert@example.org"]);
  assert.deepEqual(aliases["anna+shop@example.org"], ["anna@example.org"]);
});

test("an official address leads to the administrator until a mailbox takes it", () => {
  assert.deepEqual(accountsOf(read({})).aliases["abuse@example.org"], ["anna@elsewhere.example"]);
  const { aliases } = accountsOf(
    read({
      "anna@example.org": { aliases: ["abuse@example.org"] },
      "postmaster@example.org": {},
      "webmaster@example.org": { delete: true, backup: "none" },
    }),
  );
  assert.deepEqual(aliases["abuse@example.org"], ["anna@example.org"]);
  assert.equal(aliases["postmaster@example.org"], undefined);
  assert.deepEqual(aliases["webmaster@example.org"], ["anna@elsewhere.example"]);
});

test("without mailboxes in the stack, nothing is said of any", () => {
  assert.deepEqual(accountsOf(read({})).mailboxes, {});
});
