import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { before, test } from "node:test";
import { readMail } from "../../sandbox/world/reader.ts";
import { TestServer } from "./server.ts";

let beta: TestServer;
before(async () => {
  beta = await TestServer.up("beta");
});

async function exchangesMail(): Promise<void> {
  const subject = randomUUID();
  const { messageId } = await beta.deliver({ subject });
  assert.equal((await readMail(beta.mailbox(), messageId)).subject, subject);
}

test("a droplet of another size is the same server with all its mail", async () => {
  const { messageId } = await beta.deliver({ subject: "from before the resize" });
  await readMail(beta.mailbox(), messageId);
  const guest = await beta.guest();
  await beta.stack.set("size", "s-2vcpu-4gb");
  await beta.up();
  assert.equal(await beta.guest(), guest);
  await readMail(beta.mailbox(), messageId);
  await exchangesMail();
});

test("a droplet of another image is a new machine with the old host key, its mail, queue and accounts, by one `up`", async () => {
  const { messageId } = await beta.deliver({ subject: "from before the new droplet" });
  await readMail(beta.mailbox(), messageId);
  await beta.run("mailfruit user add kept@beta.example --password-stdin", "a long enough password");
  // Nobody answers there: it waits in the queue.
  await beta.run("echo hello | sendmail -f test@beta.example 'bert@[192.0.2.1]'");
  const before = { guest: await beta.guest(), hostKey: beta.outputs.sshHostKey };
  // The same Debian 13 by its number, as DigitalOcean has it too.
  await beta.stack.set("image", await imageNumber());
  await beta.up();
  assert.notEqual(await beta.guest(), before.guest);
  assert.equal(beta.outputs.sshHostKey, before.hostKey);
  const shown = await beta.run("cut -d' ' -f1,2 /etc/ssh/ssh_host_ed25519_key.pub");
  assert.equal(shown.trim(), before.hostKey);
  await readMail(beta.mailbox(), messageId);
  assert.match(await beta.run("mailfruit user list"), /^kept@beta\.example\t/m);
  assert.match(await beta.run("mailq"), /bert@\[192\.0\.2\.1\]/);
  await exchangesMail();
});

test("the next `up` after it has nothing to do", async () => {
  const { stdout } = await beta.up();
  assert.doesNotMatch(stdout, /updated|replaced|created/);
});

async function imageNumber(): Promise<string> {
  return "190000002";
}

test("a larger volume is larger on the server too, while it runs", async (t) => {
  if (!mayGrowFileSystems())
    return t.skip(
      "this machine lacks CAP_SYS_RESOURCE, without which no mounted file system can grow",
    );
  await beta.stack.set("mailVolumeSize", "12");
  await beta.up();
  const kib = Number(await beta.run("df --output=size /srv/mail | tail -1"));
  assert.ok(kib > 11.3 * 1024 * 1024, `${kib} KiB`);
  await exchangesMail();
});

test("another region is refused while the mail is in this one", async () => {
  await beta.stack.set("region", "nyc3");
  const { code, stdout, stderr } = await beta.stack.up({ allowFailure: true });
  assert.notEqual(code, 0);
  assert.match(stdout + stderr, /pulumi config set region fra1/);
  await exchangesMail();
});

/** capabilities(7): what root may do here at most, and so in a guest. */
function mayGrowFileSystems(): boolean {
  const bounding = /^CapBnd:\s*([0-9a-f]+)$/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1];
  const sysResource = 24n;
  return bounding !== undefined && ((BigInt(`0x${bounding}`) >> sysResource) & 1n) === 1n;
}
