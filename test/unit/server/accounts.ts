import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { text } from "node:stream/consumers";
import { z } from "zod";
import { missing, pythonLacks } from "./python.ts";
import { temporaryFolder } from "./temporary.ts";

const probe = join(import.meta.dirname, "accounts-probe.py");
const openSlots = join(import.meta.dirname, "open-slots.py");

/** Why the accounts' program can't run on this machine; false if it can. */
export const accountsCannotRun =
  missing("/usr/bin/python3", "python3") ||
  pythonLacks("nacl", "python3-nacl") ||
  pythonLacks("argcomplete", "python3-argcomplete");

export const password = "correct horse battery";

interface StackAccounts {
  domains: string[];
  aliases: Record<string, string[]>;
  debugUsers: string[];
  mailboxes?: Record<string, { quota_mib?: number; delete?: boolean; backup?: string }>;
}

export const stack: StackAccounts = {
  domains: ["anna.example"],
  aliases: { "postmaster@anna.example": ["anna@elsewhere.example"] },
  debugUsers: ["test@anna.example"],
};

export interface Trial {
  address: string;
  kind: "password" | "app" | "recovery";
  name?: string;
  password: string;
  as?: string;
}

const dovecotFile = z.object({
  keys: z.record(z.string(), z.string()),
  kicked: z.array(z.string()),
});
const outcome = z.tuple([z.union([z.number(), z.string(), z.null()]), z.string(), z.string()]);
const killed = z.object({ folders: z.array(z.string()), survived: z.number() });

/** The mail secrets that passwords open, by the documented format alone; each trial in its accounts' folder. */
export function open(trials: [string, Trial][]): (string | null)[] {
  const input = JSON.stringify(
    trials.map(([folder, trial]) => ({ name: "", file: join(folder, "keys.sqlite"), ...trial })),
  );
  const { stdout, stderr } = spawnSync("/usr/bin/python3", [openSlots], {
    input,
    encoding: "utf8",
  });
  assert.equal(stderr, "");
  return z.array(z.string().nullable()).parse(JSON.parse(stdout));
}

/** The rows of one of the two databases, each as its values with blanks between them; bytes in hex. */
export function rows(accountsFolder: string, file: "mail" | "keys", query: string): string[] {
  const db = new DatabaseSync(join(accountsFolder, `${file}.sqlite`));
  const found = db.prepare(query).all();
  db.close();
  const words = (value: unknown) =>
    value instanceof Uint8Array ? Buffer.from(value).toString("hex") : String(value);
  return found.map((row) => Object.values(row).map(words).join(" "));
}

/** The accounts of a server below a temporary folder. */
export class Accounts implements Disposable {
  readonly root = temporaryFolder("accounts");
  readonly folder = join(this.root, "accounts");

  constructor(synced = true) {
    for (const dir of ["accounts", "home", "cache", "owners"]) mkdirSync(join(this.root, dir));
    this.give(stack);
    if (synced) assert.equal(this.run(["sync"]).status, 0);
  }

  path = (...parts: string[]) => join(this.root, ...parts);

  /** What the stack says; `sync` takes it. */
  give(accounts: StackAccounts): void {
    writeFileSync(this.path("accounts.json"), JSON.stringify(accounts));
  }

  run(args: string[], input: string | Buffer = "") {
    return spawnSync("/usr/bin/python3", [probe, this.root, ...args], { input, encoding: "utf8" });
  }

  /** The same from a shell, which can give bytes that no string of this language has. */
  shell(args: string) {
    return spawnSync("/bin/sh", ["-c", `/usr/bin/python3 ${probe} ${this.root} ${args}`], {
      encoding: "utf8",
    });
  }

  /** The same, with some more lines typed; it has to work. Returns what it says. */
  does(args: string[], ...lines: string[]): string {
    const typed = lines.length > 0 ? ["--password-stdin"] : [];
    const { status, stdout, stderr } = this.run(
      [...args, ...typed],
      lines.map((line) => `${line}\n`).join(""),
    );
    assert.deepEqual([status, stderr], [0, ""], args.join(" "));
    return stdout;
  }

  /** It has to be refused, with a sentence like `words`, and to change nothing at all. */
  refuses(words: RegExp, args: string[], ...lines: string[]): void {
    const before = this.everything();
    const typed = lines.length > 0 ? ["--password-stdin"] : [];
    const { status, stdout, stderr } = this.run([...args, ...typed], lines.join("\n"));
    assert.deepEqual([status, stdout], [1, ""], `${args.join(" ")}: ${stderr}`);
    assert.match(stderr, /^mailfruit: /);
    assert.match(stderr, words);
    assert.deepEqual(this.everything(), before);
  }

  /** A mailbox with `password`; returns its recovery key. */
  add(address: string, ...more: string[]): string {
    const said = this.does(["user", "add", address, "--json", ...more], password);
    return z.object({ recovery_key: z.string().default("") }).parse(JSON.parse(said)).recovery_key;
  }

  /** A field of what a command says as JSON. */
  says(field: string, args: string[], ...lines: string[]): string {
    const answer = z
      .record(z.string(), z.unknown())
      .parse(JSON.parse(this.does([...args, "--json"], ...lines)));
    return z.string().parse(answer[field]);
  }

  app = (address: string, name: string) =>
    this.says("password", ["app", "add", address, name], password);

  start(args: string[]) {
    return spawn("/usr/bin/python3", [probe, this.root, ...args]);
  }

  /** Commands one after another in one process. */
  async many(commands: string[][]) {
    const child = this.start(["--many"]);
    child.stdin.end(commands.map((args) => `${JSON.stringify(args)}\n`).join(""));
    const [out, err] = await Promise.all([text(child.stdout), text(child.stderr)]);
    assert.equal(err, "");
    const lines = out.split("\n").filter((line) => line !== "");
    assert.equal(lines.length, commands.length);
    return lines.map((line) => outcome.parse(JSON.parse(line)));
  }

  killRandomly(args: string[], input: string, count: number, seed: number) {
    const { stdout, stderr } = this.run(
      ["--kill-randomly"],
      JSON.stringify({ args, input, count, seed }),
    );
    assert.equal(stderr, "");
    return killed.parse(JSON.parse(stdout));
  }

  open = (...trials: Trial[]) => open(trials.map((trial) => [this.folder, trial]));
  rows = (file: "mail" | "keys", query: string) => rows(this.folder, file, query);
  addresses = () => this.rows("mail", "SELECT address FROM mailboxes ORDER BY address");
  aliases = () => this.rows("mail", "SELECT address, destination FROM aliases ORDER BY 1, 2");
  slots = () => this.rows("keys", "SELECT * FROM slots ORDER BY address, kind, name");

  /** Every row of both databases, and what Dovecot has. */
  everything() {
    const mail = ["domains", "mailboxes", "aliases"].map((table) => this.all("mail", table));
    const keys = ["logins", "slots", "invitations"].map((table) => this.all("keys", table));
    return { mail, keys, dovecot: this.dovecot(), homes: readdirSync(this.path("home")) };
  }

  private all = (file: "mail" | "keys", table: string) =>
    this.rows(file, `SELECT * FROM ${table} ORDER BY 1, 2`);

  /** The mail secret that each user's key was made with, and whose sessions were ended. */
  dovecot() {
    try {
      return dovecotFile.parse(JSON.parse(readFileSync(this.path("dovecot.json"), "utf8")));
    } catch {
      return { keys: {}, kicked: [] };
    }
  }

  /** The bytes of everything that lies in the accounts' folder. */
  bytes(): Buffer {
    return Buffer.concat(
      readdirSync(this.folder).map((name) => readFileSync(join(this.folder, name))),
    );
  }

  mode = (file: string) => (statSync(join(this.folder, file)).mode & 0o777).toString(8);

  [Symbol.dispose](): void {
    rmSync(this.root, { recursive: true, force: true });
  }
}
