import assert from "node:assert/strict";
import { mkdtemp, open, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { root } from "../../sandbox/paths.ts";
import { mustRun, run } from "../../sandbox/process.ts";
import type { Stack } from "../../sandbox/stack.ts";
import { openStack } from "../system/server.ts";
import { Vm, whyNoVm } from "./vm.ts";

const device = "/dev/disk/by-id/virtio-disk0";
const plainDevice = "/dev/disk/by-id/virtio-disk1";
/** A word of mails: one that is delivered, and one that waits in the queue for a server that isn't there. */
const canary = `canary${Math.random().toString(36).slice(2)}`;
const skip = await whyNoVm();

suite("an encrypted volume, on a machine with a kernel of its own", { skip: skip ?? false }, () => {
  let folder: string;
  let vm: Vm;
  let stack: Stack;
  const disk = (name: string) => join(folder, name);

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "mailfruit-vm-"));
    for (const name of ["encrypted.img", "plain.img"])
      await mustRun("truncate", ["-s", "512M", disk(name)]);
    vm = await Vm.start(folder, [disk("encrypted.img"), disk("plain.img")]);
    stack = await openStack("delta", {
      ...{ machine: "existing", address: vm.access.address, sshPort: vm.access.port },
      ...{ sshHostKey: vm.access.hostKey, dns: "manual" },
      ...{ encryptVolume: true, mailDevice: device },
    });
    await stack.set("sshPrivateKey", vm.access.privateKey, { secret: true });
    await vm.run("true");
  });
  after(async () => {
    await vm?.end();
    await stack?.remove({ force: true });
    await rm(folder, { recursive: true, force: true });
  });

  test("`up` formats the empty device, and mail, accounts and queue lie on it", async () => {
    await stack.up({
      onOutput: (line) => process.stderr.write(/creat/.test(line) ? `  ${line.trim()}\n` : ""),
    });
    assert.match(await vm.run(`blkid -p ${device}`), /LABEL="mailfruit".* TYPE="crypto_LUKS"/);
    assert.match(await vm.run(`cryptsetup luksDump ${device}`), /PBKDF: +argon2id/);
    const mounts = await vm.run(
      "findmnt -n -o SOURCE /srv/mail; findmnt -n -o SOURCE /var/spool/postfix",
    );
    assert.match(mounts, /^\/dev\/mapper\/mail\n\/dev\/mapper\/mail\[\/queue\]\n$/);
    await vm.run(
      `(echo 'Subject: ${canary}'; echo; echo ${canary}) | sendmail -f test@delta.example test@delta.example`,
    );
    await vm.run(
      `(echo 'Subject: ${canary}'; echo; echo ${canary}) | sendmail -f test@delta.example 'bert@[192.0.2.1]'`,
    );
    await vm.run(
      `for i in $(seq 100); do mailq | grep -q 'bert@' && ! mailq | grep -q 'test@delta.example$' && exit; sleep 0.5; done; mailq`,
    );
    await vm.run(`grep -rq ${canary} /srv/mail/queue`);
  });

  test("the key is on the server nowhere: not on a disk, not in a log, not in a process", async () => {
    const key = String((await stack.outputs({ secrets: true })).volumeKey);
    assert.match(key, /^[\w-]{43}$/);
    // The pattern comes by standard input, or the search would find itself.
    const found = await vm.attempt(
      "cat >/run/pattern; journalctl --no-pager | grep -qFf /run/pattern && echo journal; grep -rlFf /run/pattern /etc /var /root /srv /tmp /usr/local; cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null | grep -aqFf /run/pattern && echo process; rm /run/pattern",
      key,
    );
    assert.equal(found.output, "");
  });

  test("after a reboot no mail is taken, nothing has failed, and who logs in is told", async () => {
    await vm.reboot();
    assert.match(await vm.run("systemctl is-system-running --wait || true"), /^running$/m);
    assert.equal(await vm.run("systemctl --failed --no-legend"), "");
    assert.equal(
      (await vm.attempt("systemctl is-active postfix dovecot mail-keys")).output,
      "inactive\n".repeat(3),
    );
    for (const port of [25, 465, 587, 993])
      assert.match(
        (await vm.attempt(`bash -c '</dev/tcp/127.0.0.1/${port}'`)).output,
        /Connection refused/,
      );
    assert.match(
      await vm.login(),
      /\*\*\* The mail volume is closed and waits for its key\.[\s\S]*npm run unlock/,
    );
    assert.match(await vm.run("journalctl --no-pager -u mail-volume-closed"), /takes no mail/);
    const { code, output } = await vm.attempt("mail-volume status");
    assert.deepEqual([code, output.includes("closed")], [3, true]);
    await assert.rejects(vm.run("touch /srv/mail/beside"), /not permitted/);
  });

  test("a wrong key, and what is no key, are refused with a sentence", async () => {
    const wrong = await vm.attempt("mail-volume open", "A".repeat(43));
    assert.match(wrong.output, /this key doesn't open .*virtio-disk0/);
    assert.equal(wrong.code, 1);
    assert.match((await vm.attempt("mail-volume open")).output, /standard input has no key/);
    assert.match((await vm.attempt("systemctl start postfix")).output, /dependency/);
  });

  test("`npm run unlock` opens it, and what waited in the queue waits there still", async () => {
    const unlock = () =>
      run("npm", ["run", "--silent", "unlock", "--", "test-delta"], { cwd: root });
    const opened = await unlock();
    assert.equal(opened.code, 0, opened.stderr);
    assert.match(opened.stdout, /is open\. This server takes mail again/);
    assert.equal(
      await vm.run("systemctl is-active postfix dovecot mail-keys mailfruit-check.timer"),
      "active\n".repeat(4),
    );
    assert.match(await vm.run("mailfruit check"), /a mail went in by SMTP and out by IMAP/);
    assert.match(await vm.run("mailq"), /bert@\[192\.0\.2\.1\]/);
    assert.doesNotMatch(await vm.login(), /closed/);
    const again = await unlock();
    assert.equal(again.code, 0);
    assert.match(again.stdout, /is open and mounted/);
  });

  test("a volume that holds something is never formatted", async () => {
    await vm.run(`mkfs.ext4 -q ${plainDevice} && sed -i s/disk0/disk1/ /etc/mailfruit/volume.json`);
    const key = "A".repeat(43);
    assert.match(
      (await vm.attempt("mail-volume prepare 1", key)).output,
      /not empty: it holds ext4/,
    );
    await vm.run(`dd if=/dev/urandom of=${plainDevice} bs=1M count=4 status=none; sync`);
    assert.match((await vm.attempt("mail-volume prepare 1", key)).output, /not empty/);
    await vm.run("sed -i s/disk1/disk0/ /etc/mailfruit/volume.json");
  });

  test("the disk has nothing of a mail, where a plain one has", async () => {
    await vm.run(
      `mkfs.ext4 -q -F ${plainDevice} && mount ${plainDevice} /mnt && cp -a /srv/mail/queue /mnt/ && umount /mnt && sync`,
    );
    assert.equal(
      await holds(disk("plain.img"), canary),
      true,
      "the search finds it on a plain volume",
    );
    assert.equal(await holds(disk("encrypted.img"), canary), false);
    await vm.run("mail-volume close");
    assert.equal(await holds(disk("encrypted.img"), canary), false);
  });
});

/** Whether a word stands anywhere in a file. */
async function holds(path: string, word: string): Promise<boolean> {
  const file = await open(path);
  try {
    const buffer = Buffer.alloc(8 * 2 ** 20);
    for (let at = 0; ; at += buffer.length - 256) {
      const { bytesRead } = await file.read(buffer, 0, buffer.length, at);
      if (buffer.subarray(0, bytesRead).includes(word)) return true;
      if (bytesRead < buffer.length) return false;
    }
  } finally {
    await file.close();
  }
}
