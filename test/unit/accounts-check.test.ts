import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { chmodSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { suite, test } from "node:test";
import { run } from "../../sandbox/process.ts";
import { accountsCannotRun } from "./server/accounts.ts";
import { temporaryFolder } from "./server/temporary.ts";

const probe = join(import.meta.dirname, "server", "check-probe.py");
const files = join(import.meta.dirname, "..", "..", "files");

/** What doveconf(1) says of the settings that the check asks for. */
const right = `crypt_user_key_curve = X25519
crypt_user_key_require_encrypted = yes
crypt_write_algorithm = aes-256-gcm-sha256
mail_cache_path = /run/mail/cache/%{user | domain}/%{user | username}
mail_plugins {
  mail_crypt = yes
  quota = yes
}
mail_temp_dir = /run/mail
`;
const telling = right.split("\n").filter((line) => line.includes(" = ") && !line.includes("quota"));

class Machine implements Disposable {
  readonly root = temporaryFolder("check");

  constructor(doveconf: string, findmnt: string) {
    mkdirSync(join(this.root, "bin"));
    writeFileSync(join(this.root, "doveconf.txt"), doveconf);
    this.provide("doveconf", `cat ${this.root}/doveconf.txt`);
    this.provide("findmnt", findmnt);
  }

  provide(name: string, body: string) {
    writeFileSync(join(this.root, "bin", name), `#!/bin/sh\n${body}\n`);
    chmodSync(join(this.root, "bin", name), 0o755);
  }

  ask(...args: string[]) {
    const PATH = `${join(this.root, "bin")}:${process.env.PATH}`;
    const options = { env: { ...process.env, PATH }, encoding: "utf8" } as const;
    const { status, stderr } = spawnSync("/usr/bin/python3", [probe, ...args], options);
    assert.doesNotMatch(stderr, /Traceback/);
    return { status, stderr };
  }

  [Symbol.dispose](): void {
    rmSync(this.root, { recursive: true, force: true });
  }
}

suite("Dovecot's configuration", { skip: accountsCannotRun }, () => {
  test("that stores encrypted mail passes; it is what this project's dovecot.conf says", () => {
    using machine = new Machine(right, "echo tmpfs");
    assert.deepEqual(machine.ask("configuration"), { status: 0, stderr: "" });
    const ours = readFileSync(join(files, "dovecot/etc/dovecot/dovecot.conf"), "utf8").split("\n");
    for (const line of telling)
      assert.ok(
        ours.some((one) => one.trim() === line.trim()),
        line,
      );
  });

  test("that lacks one of its lines, or has another value there, is refused by name", () => {
    assert.equal(telling.length, 6);
    for (const line of telling)
      for (const other of ["", `# ${line}`, line.replace(/= .*/, "= no"), `${line}x`]) {
        using machine = new Machine(right.replace(line, other), "echo tmpfs");
        const { status, stderr } = machine.ask("configuration");
        assert.equal(status, 1, other);
        assert.ok(stderr.startsWith(`Dovecot's configuration lacks \`${line.trim()}\``), stderr);
        assert.match(stderr, /Dovecot doesn't start, mail waits/);
      }
  });

  test("that doveconf can't read is refused", () => {
    using machine = new Machine("doveconf: Fatal: Error in configuration file\n", "echo tmpfs");
    machine.provide("doveconf", `cat ${machine.root}/doveconf.txt >&2; exit 89`);
    assert.match(machine.ask("configuration").stderr, /lacks .*mail_crypt = yes/);
  });

  test("with a cache that is on a disk, or nowhere, is refused", () => {
    for (const [findmnt, words] of [
      ["echo ext4", /not in memory but ext4/],
      ["exit 1", /not in memory but not mounted/],
    ] as const) {
      using machine = new Machine(right, findmnt);
      const { status, stderr } = machine.ask("configuration");
      assert.equal(status, 1);
      assert.match(stderr, words);
    }
  });
});

suite("the look at the disk", { skip: accountsCannotRun }, () => {
  const token = "0123456789abcdef";
  const encrypted = Buffer.concat([
    Buffer.from("2 M1e\nB\nN\n"),
    Buffer.from("CRYPTED\x03\x07"),
    Buffer.alloc(300, 0xa5),
  ]);

  const look = (found: Record<string, string | Buffer>) => {
    using machine = new Machine(right, "echo tmpfs");
    for (const [path, bytes] of Object.entries({ "mail/dovecot.index": "index", ...found })) {
      mkdirSync(join(machine.root, "home", path, ".."), { recursive: true });
      writeFileSync(join(machine.root, "home", path), bytes);
    }
    return machine.ask("look", join(machine.root, "home"), token);
  };

  test("is content with an encrypted mail", () => {
    assert.deepEqual(look({ "mail/mailboxes/INBOX/u.1": encrypted }), { status: 0, stderr: "" });
  });

  test("finds the mail's words in whatever file they lie, and names it", () => {
    for (const path of ["mail/mailboxes/INBOX/u.1", "mail/dovecot.index.cache", ".temp"]) {
      const { status, stderr } = look({ "mail/u.2": encrypted, [path]: `Subject: ${token}\n` });
      assert.equal(status, 1);
      assert.ok(stderr.includes("lies in plain text in") && stderr.includes(path), stderr);
    }
  });

  test("is not content where no encrypted mail is", () => {
    for (const found of [
      {},
      { "mail/u.1": "something else" },
      { "mail/u.1": encrypted.subarray(0, 12) },
    ]) {
      const { status, stderr } = look(found);
      assert.equal(status, 1);
      assert.match(stderr, /no encrypted mail lies below/);
    }
    assert.match(
      new Machine(right, "").ask("look", "/nonexistent", token).stderr,
      /no encrypted mail/,
    );
  });
});

suite("the quota warning", { skip: accountsCannotRun }, () => {
  /** Dovecot's LMTP, which takes one mail; the program talks to it below a folder. */
  async function warned(percent: string, address: string): Promise<string> {
    const root = temporaryFolder("quota");
    const socket = join(root, "lmtp");
    let said = "";
    const server = createServer((connection) => {
      let inData = false;
      let rest = "";
      connection.write("220 ready\r\n");
      connection.on("data", (bytes) => {
        said += bytes;
        rest += bytes;
        for (let end = rest.indexOf("\r\n"); end >= 0; end = rest.indexOf("\r\n")) {
          const line = rest.slice(0, end);
          rest = rest.slice(end + 2);
          if (inData && line !== ".") continue;
          inData = line.toUpperCase() === "DATA";
          connection.write(
            inData ? "354 go on\r\n" : line.toUpperCase() === "QUIT" ? "221 bye\r\n" : "250 ok\r\n",
          );
        }
      });
    });
    await new Promise<void>((resolve) => server.listen(socket, resolve));
    const program = readFileSync(
      join(files, "dovecot/usr/local/lib/mailfruit/quota-warning"),
      "utf8",
    );
    const here = join(root, "quota-warning");
    writeFileSync(here, program.replace("/run/dovecot/lmtp", socket));
    try {
      const { code, stderr } = await run("/usr/bin/python3", ["-I", here, percent, address]);
      assert.deepEqual([code, stderr], [0, ""]);
      return said;
    } finally {
      server.close();
      rmSync(root, { recursive: true, force: true });
    }
  }

  test("comes from the postmaster, to the mailbox alone, and bounces to nobody", async () => {
    const said = await warned("90", "anna@anna.example");
    assert.match(said, /^lhlo /i);
    assert.match(said, /^mail FROM:<>.*\r\nrcpt TO:<anna@anna\.example>\r\n/im);
    assert.match(said, /^From: postmaster@anna\.example\r$/m);
    assert.match(said, /^To: anna@anna\.example\r$/m);
    assert.match(said, /^Subject: Your mailbox is 90 % full\r$/m);
    assert.match(said, /^When it is full, no more mail is taken/m);
  });

  test("says when no more mail is taken", async () => {
    const said = await warned("100", "anna@anna.example");
    assert.match(said, /^Subject: Your mailbox is full\r$/m);
    assert.match(said, /^No more mail is taken/m);
  });
});
