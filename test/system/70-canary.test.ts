import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { z } from "zod";
import { endpoint } from "../../sandbox/cloud/client.ts";
import { paths } from "../../sandbox/paths.ts";
import { TestServer } from "./server.ts";

let alpha: TestServer;
let secrets: Map<string, string>;
let ofAccounts: Map<string, string>;
let printed = "";
before(async () => {
  alpha = await TestServer.up("alpha");
  ofAccounts = await secretsOfAccounts();
  secrets = new Map([...(await allSecrets()), ...ofAccounts]);
});
after(() => alpha.run("mailfruit user delete secretive@alpha.example --with-mail"));

/** Of each secret a part that identifies it wherever it may stand. */
async function allSecrets(): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  const { stdout } = await alpha.stack.command(["stack", "export", "--show-secrets"]);
  const keys = stdout.matchAll(/-----BEGIN ([A-Z ]*PRIVATE KEY)-----\\+n([^"]*?)-----END/g);
  for (const [, kind = "", body = ""] of keys) {
    const part = privatePart(kind, body.replaceAll(/\\+n| /g, ""));
    found.set(`${kind} ${found.size}`, part);
  }
  found.set("password", alpha.outputs.testUser.password);
  const cloud = await endpoint();
  if (cloud) found.set("API token", cloud.token);
  return found;
}

/** What the server makes for a mailbox and shows once. */
async function secretsOfAccounts(): Promise<Map<string, string>> {
  const address = "secretive@alpha.example";
  const password = `chosen ${randomUUID()}`;
  const run = async (args: string, ...answers: string[]) => {
    const stdin = answers.length > 0 ? "--password-stdin" : "";
    const printed = await alpha.run(`mailfruit ${args} --json ${stdin}`, answers.join("\n"));
    return z.looseObject(made).parse(JSON.parse(printed));
  };
  const made = {
    invitation: z.string().optional(),
    recovery_key: z.string().optional(),
    password: z.string().optional(),
  };
  const { invitation } = await run(`user add ${address} --invite`);
  assert.ok(invitation);
  const { recovery_key: key } = await run(`user accept ${address}`, invitation, password);
  const { password: phone } = await run(`app add ${address} phone`, password);
  assert.ok(key && phone);
  return new Map([
    ["invitation", invitation],
    ["recovery key", key],
    ["app password", phone],
    ["chosen password", password],
  ]);
}

/** The base64 of bytes that only the private key has; the rest of a key file is header and public key. */
function privatePart(kind: string, base64: string): string {
  // SEC 1 (RFC 5915): 7 bytes, then the key. PKCS #8 of P-256: 36 bytes, then the key; of Ed25519: the key comes last.
  // OpenSSH's own (PROTOCOL.key) ends with about 9 bytes that say nothing. Before them stand, of Ed25519, the seed and the
  // public key of 32 bytes; of P-256, the key.
  const isEd25519 = base64.length === 312;
  if (kind === "OPENSSH PRIVATE KEY")
    return isEd25519 ? base64.slice(-96, -60) : base64.slice(-40, -16);
  if (kind === "EC PRIVATE KEY") return base64.slice(12, 48);
  if (kind === "PRIVATE KEY" && base64.length > 64) return base64.slice(50, 64);
  return base64.slice(-40);
}

function assertClean(text: string, where: string): void {
  for (const [name, secret] of secrets)
    assert.ok(!text.includes(secret), `${name} stands in plain text in ${where}`);
}

test("there are secrets to look for", () => {
  assert.ok(secrets.size >= 12, [...secrets.keys()].join(", "));
});

test("no secret stands in a process list while everything is deployed anew", async () => {
  await alpha.run(
    "rm -f /run/ps-stop; (while [ ! -e /run/ps-stop ]; do cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null | tr '\\0' ' '; sleep 0.02; done >/run/ps.log 2>/dev/null) >/dev/null 2>&1 &",
  );
  const watch = watchOwnProcesses();
  // A new SSH key for the connection would replace the droplet; a new trigger runs all commands again as well.
  for (const name of ["mail-host-tls", "mail-host-test-user", "mail-host-users"])
    printed += (await alpha.stack.up({ args: ["--target-replace", await urnOf(name)] })).stdout;
  await alpha.run("touch /run/ps-stop; sleep 0.1");
  const guest = await alpha.run("cat /run/ps.log; rm -f /run/ps.log /run/ps-stop");
  assert.match(guest, /mailfruit/, "the watch saw the deployment");
  assertClean(guest, "the server's process list");
  assertClean(await watch.stop(), "the process list of the machine that runs pulumi");
});

test("no secret stands in what pulumi prints", async () => {
  const { stdout, stderr } = await alpha.stack.preview({ diff: true });
  assertClean(printed + stdout + stderr, "pulumi's output");
});

test("no secret stands in the state, in the stacks' files, or in a log of the sandbox", async () => {
  for (const folder of [paths.stacks, paths.pulumiHome])
    for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
      if (!entry.isFile()) continue;
      const path = join(entry.parentPath, entry.name);
      assertClean(await readFile(path, "latin1"), path);
    }
  assertClean(await readFile(paths.cloudLog, "utf8"), paths.cloudLog);
});

test("no secret stands in the server's journal, logs or shell histories, or in a file that others can read", async () => {
  assertClean(await alpha.run("journalctl --no-pager -o cat"), "the journal");
  assertClean(
    await alpha.run(
      "find /var/log /tmp /var/tmp -xdev -type f -exec cat {} +; cat /root/.*history 2>/dev/null; true",
    ),
    "logs, temporary files, histories",
  );
  const readable = await alpha.run(
    "find /etc /usr/local /srv /var/lib /home /root /run -xdev -type f -perm /o=r -size -1M ! -path '/var/lib/apt/*' ! -path '/var/lib/dpkg/*' -exec cat {} + | tr -d '\\0'",
  );
  assertClean(readable, "a file that others can read");
});

test("what opens a mailbox stands in no file of the server at all", async () => {
  const find = (patterns: string) =>
    alpha.run("grep -rlaF -f - /srv /etc /usr/local /var /root /home || true", patterns);
  assert.equal(await find([...ofAccounts.values()].join("\n")), "");
  assert.match(await find("secretive@alpha.example"), /keys\.sqlite/);
});

test("the search finds a secret that does stand somewhere", async () => {
  await alpha.run(`logger 'login with ${alpha.outputs.testUser.password}-not'`);
  const journal = await alpha.run("journalctl --no-pager -o cat -n 20");
  assert.throws(() => assertClean(journal, "the journal"), /password stands in plain text/);
  await alpha.run("journalctl --rotate --quiet && journalctl --vacuum-time=1s --quiet");
});

async function urnOf(name: string): Promise<string> {
  const { deployment } = await alpha.stack.export();
  const urn = (deployment.resources ?? []).find((resource) =>
    resource.urn.endsWith(`::${name}`),
  )?.urn;
  assert.ok(urn, name);
  return urn;
}

/** Command lines of all processes here, but for those of tests, which hold the secrets themselves. */
function watchOwnProcesses() {
  let seen = "";
  let running = true;
  const loop = (async () => {
    while (running) {
      for (const pid of await readdir("/proc"))
        if (/^\d+$/.test(pid))
          seen += await readFile(`/proc/${pid}/cmdline`, "latin1").catch(() => "");
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  })();
  return {
    stop: async () => {
      running = false;
      await loop;
      return seen;
    },
  };
}
