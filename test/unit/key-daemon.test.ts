import assert from "node:assert/strict";
import type { ChildProcess } from "node:child_process";
import { rmSync, statSync } from "node:fs";
import { connect } from "node:net";
import { DatabaseSync } from "node:sqlite";
import { text } from "node:stream/consumers";
import { after, before, suite, test } from "node:test";
import { Accounts, accountsCannotRun, password } from "./server/accounts.ts";

const anna = "anna@anna.example";
const hex = (words: string | Buffer) => Buffer.from(words).toString("hex");
const question = (address: string, given: string | Buffer) => `${hex(address)} ${hex(given)}\n`;

suite("mail-keys.service", { skip: accountsCannotRun }, () => {
  let accounts: Accounts;
  let daemon: ChildProcess;
  let words: Promise<string>;
  let app: string;
  const socket = () => accounts.path("socket");

  before(async () => {
    accounts = new Accounts();
    accounts.add(anna);
    accounts.add("closed@anna.example");
    accounts.does(["user", "disable", "closed@anna.example"]);
    accounts.does(["user", "add", "invited@anna.example", "--invite"]);
    app = accounts.app(anna, "phone");
    const child = accounts.start(["--serve", socket()]);
    words = text(child.stderr);
    daemon = child;
    await new Promise((resolve) => child.stdout.once("data", resolve));
  });

  after(() => {
    daemon?.kill("SIGKILL");
    accounts?.[Symbol.dispose]();
  });

  /** What comes back for some bytes until the connection ends. */
  function ask(sent: string | Buffer): Promise<string> {
    const connection = connect(socket());
    connection.on("error", () => {}); // it may be closed before all was sent
    connection.end(sent);
    return text(connection).catch(() => "");
  }

  test("gives the mail secret for the password and for an app password, as people type it", async () => {
    const ok = `ok ${accounts.dovecot().keys[anna]}\n`;
    assert.equal(await ask(question(anna, password)), ok);
    for (const typed of [app, app.toUpperCase().replaceAll("-", " ")])
      assert.equal(await ask(question(anna, typed)), ok);
  });

  test("tells a wrong password from an unknown name", async () => {
    const others = accounts.says("recovery_key", ["user", "recovery-key", anna], password);
    for (const wrong of ["", `${password} `, "x".repeat(1000), "aaaa".repeat(7), others])
      assert.equal(await ask(question(anna, wrong)), "mismatch\n");
    for (const address of [
      "nobody@anna.example",
      "invited@anna.example",
      "",
      "x' OR 1=1 --",
      "a\u0000",
    ])
      assert.equal(await ask(question(address, password)), "unknown\n");
  });

  test("tells of a closed login only who knows its password", async () => {
    assert.equal(await ask(question("closed@anna.example", `${password}!`)), "mismatch\n");
    assert.equal(await ask(question("closed@anna.example", password)), "disabled\n");
  });

  test("gives no answer to what is no question, and goes on", async () => {
    const whole = question(anna, password);
    const garbage = [
      ...["", "\n", "hello\n", "GET / HTTP/1.1\r\n\r\n", "zz zz\n", `${hex(anna)}\n`, "\u0000\n"],
      ...[whole.replace("\n", " 00\n"), `${hex(anna)} ${hex(password).slice(1)}\n`, "ä ä\n"],
      ...[`${hex(anna)} ff\n`, `ff ${hex(password)}\n`, "é".repeat(5000), whole.trimEnd()],
      ...[`${hex(anna)} ${"61".repeat(5000)}\n`, "6".repeat(1e6), Buffer.from([0xff, 0xfe, 0x0a])],
    ];
    for (const sent of garbage)
      assert.equal(await ask(sent), "", JSON.stringify(sent).slice(0, 60));
    assert.match(await ask(whole), /^ok /);
  });

  test("reads one question of a connection", async () => {
    const twice = question(anna, password).repeat(2);
    assert.match(await ask(twice), /^ok [0-9a-f]{64}\n$/);
  });

  test("answers each of many at once", async () => {
    const given = Array.from({ length: 60 }, (_, n) =>
      n % 3 === 0 ? app : n % 20 === 1 ? password : "",
    );
    const answers = await Promise.all(
      given.map((one) => ask(question(one === "" ? "nobody@anna.example" : anna, one))),
    );
    const ok = `ok ${accounts.dovecot().keys[anna]}\n`;
    assert.deepEqual(
      answers,
      given.map((one) => (one === "" ? "unknown\n" : ok)),
    );
  });

  test("is reached by its group alone", () => {
    assert.equal((statSync(socket()).mode & 0o777).toString(8), "660");
  });

  test("sees a new password and a password taken back at once", async () => {
    accounts.does(["app", "delete", anna, "phone"]);
    assert.equal(await ask(question(anna, app)), "mismatch\n");
    accounts.does(["user", "passwd", anna], password, "another long password");
    assert.equal(await ask(question(anna, password)), "mismatch\n");
    assert.match(await ask(question(anna, "another long password")), /^ok /);
  });

  test("gives no answer while the slots can't be read, so that Dovecot says: later", async () => {
    const file = accounts.path("accounts", "keys.sqlite");
    const db = new DatabaseSync(file);
    db.exec("BEGIN EXCLUSIVE");
    const waiting = ask(question(anna, "another long password"));
    assert.equal(
      await Promise.race([waiting, new Promise((resolve) => setTimeout(resolve, 500, "waits"))]),
      "waits",
    );
    db.exec("ROLLBACK");
    db.close();
    assert.match(await waiting, /^ok /, "a change of a moment is waited for");
    rmSync(file);
    assert.equal(await ask(question(anna, "another long password")), "");
  });

  test("has written no password and no secret into its log", async () => {
    daemon.kill("SIGKILL");
    const log = await words;
    assert.match(log, /the key slots can't be read: /);
    const secret = accounts.dovecot().keys[anna] ?? assert.fail();
    for (const canary of [password, app, hex(password), hex(app), secret, "another long"])
      assert.equal(log.includes(canary), false);
  });
});
