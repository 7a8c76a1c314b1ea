// How the administrator's commands reach a server. Its SSH server is in this process, its shell is the real one; OpenSSH's
// own is met in the system tests.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { connect as connectTcp, type Socket } from "node:net";
import { join } from "node:path";
import { Duplex, Readable, Writable } from "node:stream";
import { after, before, describe, test } from "node:test";
import type { Access } from "../../admin/access.ts";
import { ConnectionError, connect, type Server } from "../../admin/connect.ts";
import { commandLine } from "../../admin/quote.ts";
import { run } from "../../sandbox/process.ts";
import { closedPort, type Execution, SshServer } from "./command/ssh-server.ts";
import { newKey } from "./command/world.ts";
import { missing } from "./server/python.ts";
import { temporaryFolder } from "./server/temporary.ts";
import { until } from "./server/until.ts";

const folder = temporaryFolder("admin");
after(() => rmSync(folder, { recursive: true }));
const hostKey = newKey();
const userKey = newKey();
const terminals: string[] = [];
const sshd = new SshServer({
  hostKeys: [hostKey.private],
  authorizedKey: userKey.public,
  run: obey,
});
before(() => sshd.listen());
after(() => sshd.close());

/** Runs a command as sshd does; where it has a terminal, a program is imitated that asks for a password. */
function obey({ command, pty, channel }: Execution): void {
  if (pty) onTerminal(pty, channel);
  else if (command === "'vanish'") channel.close();
  else inShell(command, channel);
}

function inShell(command: string, channel: Execution["channel"]): void {
  const shell = spawn("/bin/sh", ["-c", command]);
  channel.pipe(shell.stdin);
  shell.stdin.on("error", () => {});
  shell.stdout.pipe(channel, { end: false });
  shell.stderr.pipe(channel.stderr, { end: false });
  shell.on("close", (code, signal) => {
    if (signal) channel.exit(signal.replace("SIG", ""));
    else channel.exit(code ?? 1);
    channel.end();
  });
}

function onTerminal(pty: NonNullable<Execution["pty"]>, channel: Execution["channel"]): void {
  terminals.push(`${pty.cols}x${pty.rows}`);
  channel.write("Password: ");
  channel.on("data", (keys: Buffer) => {
    if (keys.toString() === "\x03") {
      channel.write("\r\nnothing was changed\r\n");
      channel.exit(130);
    } else {
      channel.write(`${keys.length} keys\r\n`);
      channel.exit(0);
    }
    channel.end();
  });
}

const access = (changes: Partial<Access> = {}): Access => ({
  address: "127.0.0.1",
  port: sshd.port,
  user: "root",
  hostKey: hostKey.public,
  privateKey: userKey.private,
  ...changes,
});

/** What a program on the server wrote and how it ended. */
async function ranOn(server: Server, argv: string[], stdin?: Readable | string) {
  const [stdout, stderr] = [new Collected(), new Collected()];
  const code = await server.run(argv, { stdout, stderr, ...(stdin !== undefined && { stdin }) });
  return { code, stdout: stdout.text, stderr: stderr.text };
}

class Collected extends Writable {
  text = "";
  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    this.text += chunk.toString("utf8");
    done();
  }
}

async function ran(argv: string[], stdin?: Readable | string, changes: Partial<Access> = {}) {
  const server = await connect(access(changes));
  try {
    return await ranOn(server, argv, stdin);
  } finally {
    server.close();
  }
}

const refusal = (message: RegExp) => (error: unknown) => {
  assert.ok(error instanceof ConnectionError);
  assert.match(error.message, message);
  return true;
};

const hostile = [
  ...[
    "",
    " ",
    "'",
    '"',
    "\\",
    "\n",
    "a\nb",
    "'; touch pwned; '",
    "$(touch pwned)",
    "`touch pwned`",
  ],
  ...[
    "*",
    "~",
    "~root",
    "-rf",
    "--",
    "$HOME",
    "!!",
    "a'b\"c\\d$e`f",
    "#",
    "&& id",
    "|id",
    ">x",
    "<x",
  ],
  ...[
    "é",
    "日本",
    "\u{1f34e}",
    "\t",
    "\r",
    "%s",
    "\\n",
    "''",
    "'\\''",
    "{a,b}",
    "[a-z]",
    "=x",
    "A=b",
  ],
];

test("every argument arrives as it was typed, whatever it contains, and runs nothing", async () => {
  const cwd = join(folder, "empty");
  mkdirSync(cwd);
  for (const args of [hostile, ...hostile.map((one) => [one])]) {
    const line = commandLine(["printf", "%s\\0", ...args]);
    const { code, stdout } = await run("/bin/sh", ["-c", line], { cwd });
    assert.equal(code, 0);
    assert.deepEqual(stdout.split("\0").slice(0, -1), args);
  }
  assert.equal((await run("ls", ["-A"], { cwd })).stdout, "");
});

test("over SSH they arrive the same", async () => {
  const { stdout } = await ran(["printf", "%s\\0", ...hostile]);
  assert.deepEqual(stdout.split("\0").slice(0, -1), hostile);
});

describe("a program on the server", () => {
  test("gives its exit code, and 128 + number where a signal ended it", async () => {
    for (const [script, code] of [
      ["exit 0", 0],
      ["exit 7", 7],
      ["kill -TERM $$", 143],
    ] as const)
      assert.equal((await ran(["sh", "-c", script])).code, code);
  });

  test("writes to stdout and stderr apart", async () => {
    const found = await ran(["sh", "-c", "echo out; echo err >&2"]);
    assert.deepEqual(found, { code: 0, stdout: "out\n", stderr: "err\n" });
  });

  test("reads what is passed to it, byte for byte, and nothing else", async () => {
    const secret = "correct horse\nbattery ü\n";
    assert.equal((await ran(["cat"], secret)).stdout, secret);
    assert.equal((await ran(["cat"], Readable.from([Buffer.from(secret)]))).stdout, secret);
    assert.equal((await ran(["cat"])).stdout, "");
  });

  test("may write and read much", async () => {
    const much = "0123456789abcdef".repeat(200_000);
    assert.equal((await ran(["cat"], much)).stdout, much);
  });

  test("may end without reading its input", async () => {
    assert.equal((await ran(["true"], "x".repeat(1_000_000))).code, 0);
  });

  test("gets root's rights by sudo where the login is another user's", async () => {
    const from = sshd.executions.length;
    await ran(["mailfruit", "user", "list"], "", { user: "admin" });
    assert.deepEqual(sshd.executions.slice(from), ["'sudo' '-n' '--' 'mailfruit' 'user' 'list'"]);
  });

  test("that vanishes with the connection is no success", async () => {
    await assert.rejects(ran(["vanish"]), refusal(/was lost before the command had ended/));
  });
});

describe("nothing is sent to", () => {
  const refused = async (changes: Partial<Access>, message: RegExp) => {
    const from = sshd.executions.length;
    await assert.rejects(ran(["true"], "secret", changes), refusal(message));
    assert.equal(sshd.executions.length, from);
  };

  test("a machine that shows another host key", () =>
    refused({ hostKey: newKey().public }, /another SSH host key.*Nothing was sent/));

  test("a machine that has no host key of the pinned kind", () =>
    refused(
      { hostKey: `ecdsa-sha2-nistp256 ${ecdsa}` },
      /another SSH host key|No SSH connection to/, // the server may be faster in breaking off
    ));

  test("a server that doesn't know the key, and no other way to log in is tried", () =>
    refused({ privateKey: newKey().private }, /doesn't take the stack's SSH key/));

  test("a port on which nothing listens", async () => {
    const port = await closedPort();
    await refused({ port }, new RegExp(`root@127.0.0.1:${port}: connection refused`));
  });
});

const ecdsa =
  "AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBGsX0fLhLEJH+Lzm5WOkQPJ3A32BLeszoPShOUXYmMKWT+NC4v4af5uO5+tKfA+eFivOM1drMV7Oy7ZAaDe/UfU=";

test("a connection that somebody else has made serves as well", async () => {
  const sock = connectTcp(sshd.port, "127.0.0.1");
  const server = await connect(access({ address: "hidden.onion", port: 22 }), { sock });
  assert.equal((await ranOn(server, ["echo", "hello"])).stdout, "hello\n");
  server.close();
});

test("a short program's exit code comes although all of it arrives at once, as by Tor", async () => {
  const sock = new InOnePiece(connectTcp(sshd.port, "127.0.0.1"));
  const server = await connect(access(), { sock });
  assert.deepEqual(await ranOn(server, ["echo", "hello"]), {
    code: 0,
    stdout: "hello\n",
    stderr: "",
  });
  server.close();
});

/** A connection on which what comes within a fifth of a second comes as one. */
class InOnePiece extends Duplex {
  readonly #socket: Socket;
  #chunks: Buffer[] = [];

  constructor(socket: Socket) {
    super();
    this.#socket = socket;
    socket.on("data", (chunk) => {
      if (this.#chunks.length === 0) setTimeout(() => this.#passOn(), 200);
      this.#chunks.push(chunk);
    });
  }

  #passOn(): void {
    this.push(Buffer.concat(this.#chunks));
    this.#chunks = [];
  }

  override _read(): void {}

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    this.#socket.write(chunk, () => done());
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#socket.destroy();
    done(error);
  }
}

const noScript = missing("script", "bsdutils");
describe("on a terminal", { skip: noScript }, () => {
  /** A program on the server, in a terminal of 77x11 with a shell that says at the end how it left the terminal. */
  function inTerminal() {
    const file = join(folder, "access.json");
    writeFileSync(file, JSON.stringify(access()), { mode: 0o600 });
    const probe = join(import.meta.dirname, "admin", "on-terminal.ts");
    const inner = `stty cols 77 rows 11; ${commandLine([process.execPath, probe, file, "cat"])}; echo "code $?"; stty -a`;
    const child = spawn("script", ["--quiet", "--flush", "--command", inner, "/dev/null"]);
    const shown = new Collected();
    child.stdout.pipe(shown);
    const ended = new Promise((resolve) => child.on("close", resolve));
    return { child, shown, ended };
  }

  const restored = (text: string) => assert.match(text, / icanon [\s\S]* echo /);

  test("a password is asked for and not shown, and the terminal is as it was", async () => {
    const { child, shown, ended } = inTerminal();
    await until(() => shown.text.includes("Password: "));
    child.stdin.write("secret");
    await ended;
    assert.match(shown.text, /Password: 6 keys\s+code 0\r\n/);
    assert.doesNotMatch(shown.text, /secret/);
    restored(shown.text);
    assert.equal(terminals.at(-1), "77x11");
  });

  test("Ctrl-C goes to the program on the server, and its exit code comes back", async () => {
    const { child, shown, ended } = inTerminal();
    await until(() => shown.text.includes("Password: "));
    child.stdin.write("\x03");
    await ended;
    assert.match(shown.text, /nothing was changed\s+code 130\r\n/);
    restored(shown.text);
  });
});
