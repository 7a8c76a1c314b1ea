import assert from "node:assert/strict";
import { generateKeyPairSync, randomUUID } from "node:crypto";
import { after, before, test } from "node:test";
import ssh2 from "ssh2";
import { inGuest } from "../../sandbox/cloud/shell.ts";
import type { Stack } from "../../sandbox/stack.ts";
import { readMail } from "../../sandbox/world/reader.ts";
import { cloudApi, makeMachine, removeMachine } from "./cloud.ts";
import { openStack, TestServer } from "./server.ts";

const { utils } = ssh2;
const login = utils.generateKeyPairSync("ed25519");
const host = utils.generateKeyPairSync("ed25519");

let machine: { id: number; ipv4: string; ipv6: string };
let stack: Stack;
before(async () => {
  machine = await makeMachine("somebody-elses-machine", {
    ssh_deletekeys: true,
    ssh_keys: { ed25519_private: host.private, ed25519_public: host.public },
    users: [
      {
        name: "admin",
        sudo: "ALL=(ALL) NOPASSWD:ALL",
        shell: "/bin/bash",
        ssh_authorized_keys: [login.public],
      },
    ],
  });
  stack = await openStack("gamma", settings());
  await stack.set("sshPrivateKey", login.private, { secret: true });
});
after(() => removeMachine(machine.id));

function settings(more: Record<string, string> = {}) {
  return {
    machine: "existing",
    address: machine.ipv4,
    address6: machine.ipv6,
    sshUser: "admin",
    sshHostKey: host.public,
    ...more,
  };
}

const run = (command: string) => inGuest(machine.id, ["/bin/sh", "-c", command]);
const whole = () =>
  run(
    "dpkg -l | sha256sum; find /etc /usr /srv -xdev -type f -printf '%p %s %m %u %T@\\n' | sort | sha256sum",
  );

test("a machine that shows another host key gets nothing", async () => {
  const other = generateKeyPairSync("ed25519").publicKey.export({ type: "spki", format: "der" });
  const blob = Buffer.concat([
    Buffer.from("\0\0\0\x0bssh-ed25519\0\0\0 ", "latin1"),
    other.subarray(-32),
  ]);
  await stack.set("sshHostKey", `ssh-ed25519 ${blob.toString("base64")}`);
  const untouched = await whole();
  const { code, stdout } = await stack.up({ allowFailure: true });
  assert.notEqual(code, 0);
  assert.match(stdout, /host key mismatch/);
  assert.equal(await whole(), untouched);
  await stack.set("sshHostKey", host.public);
});

test("a machine that is no Debian 13 is refused with a sentence and left untouched", async () => {
  await run(
    "cp --remove-destination /usr/lib/os-release /etc/os-release && sed -i -e 's/VERSION_ID=.*/VERSION_ID=\"12\"/' -e 's/PRETTY_NAME=.*/PRETTY_NAME=\"Debian GNU\\/Linux 12 (bookworm)\"/' /etc/os-release",
  );
  const untouched = await whole();
  const { code, stdout } = await stack.up({ allowFailure: true });
  assert.notEqual(code, 0);
  assert.match(
    stdout,
    /runs Debian GNU\/Linux 12 \(bookworm\), and mailfruit needs Debian 13\. Nothing on it was changed/,
  );
  assert.equal(await whole(), untouched);
  await run("ln -sf ../usr/lib/os-release /etc/os-release");
});

test("a Debian 13 machine that is there already becomes a mail server, by a user with sudo", async () => {
  const gamma = await TestServer.up("gamma", settings(), { sshPrivateKey: login.private });
  const subject = randomUUID();
  const { messageId } = await gamma.deliver({ subject });
  assert.equal((await readMail(gamma.mailbox(), messageId)).subject, subject);
  assert.match(gamma.outputs.zoneFile, new RegExp(`mail\t1800\tIN\tA\t${machine.ipv4}`));
});

test("destroying its stack leaves the machine and its mail, and takes the DNS away", async () => {
  await stack.destroy();
  assert.match(await run("ls /srv/mail/home/gamma.example"), /test/);
  const { domains } = await cloudApi.domains();
  assert.ok(!domains.some(({ name }) => name === "gamma.example"));
  await stack.remove();
});
