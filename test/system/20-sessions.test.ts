import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { before, describe, test } from "node:test";
import type { SecureVersion } from "node:tls";
import { createTransport } from "nodemailer";
import { readMail } from "../../sandbox/world/reader.ts";
import { Dialogue, plainLogin } from "./dialogue.ts";
import { TestServer } from "./server.ts";

let alpha: TestServer;
before(async () => {
  alpha = await TestServer.up("alpha");
});

function to(
  port: number,
  more: { wrapped?: boolean; host?: string; tlsVersion?: SecureVersion } = {},
) {
  const { ipv4, serverHostname, ca } = alpha.outputs;
  return Dialogue.open({ host: ipv4, port, servername: serverHostname, ca, ...more });
}

/** Greeting and EHLO in the clear, then STARTTLS and EHLO again. */
async function encrypted(port: number, more: Parameters<typeof to>[1] = {}): Promise<Dialogue> {
  const dialogue = await to(port, more);
  assert.match(await dialogue.smtp(), /^220 /);
  await dialogue.smtp("EHLO outside.example");
  if (!more.wrapped) {
    assert.match(await dialogue.smtp("STARTTLS"), /^220 /);
    await dialogue.startTls();
    await dialogue.smtp("EHLO outside.example");
  }
  return dialogue;
}

const plain = (user: string, password: string) =>
  `AUTH PLAIN ${plainLogin({ address: user, password })}`;

const families: [string, () => string][] = [
  ["IPv4", () => alpha.outputs.ipv4],
  ["IPv6", () => alpha.outputs.ipv6],
];
const versions: SecureVersion[] = ["TLSv1.2", "TLSv1.3"];

describe("port 25", () => {
  test("mail without STARTTLS is refused with 530 5.7.0", async () => {
    const dialogue = await to(25);
    await dialogue.smtp();
    assert.match(await dialogue.smtp("EHLO outside.example"), /STARTTLS/);
    assert.match(await dialogue.smtp("MAIL FROM:<bert@outside.example>"), /^530 5\.7\.0 /);
    dialogue.close();
  });

  for (const [family, host] of families)
    for (const tlsVersion of versions)
      test(`mail to a mailbox is taken with ${tlsVersion} over ${family}`, async () => {
        const dialogue = await encrypted(25, { tlsVersion, host: host() });
        assert.equal(dialogue.tls, tlsVersion);
        await dialogue.smtp("MAIL FROM:<bert@outside.example>");
        assert.match(await dialogue.smtp(`RCPT TO:<${alpha.outputs.testUser.address}>`), /^250 /);
        dialogue.close();
      });

  test("TLS 1.1 is refused", async () => {
    await assert.rejects(encrypted(25, { tlsVersion: "TLSv1.1" }), /alert protocol version/);
  });

  test("relaying is refused, with and without a sender of ours", async () => {
    for (const sender of ["bert@outside.example", alpha.outputs.testUser.address]) {
      const dialogue = await encrypted(25);
      await dialogue.smtp(`MAIL FROM:<${sender}>`);
      assert.match(await dialogue.smtp("RCPT TO:<stranger@elsewhere.example>"), /^554 5\.7\.1 /);
      for (const trick of [
        "<stranger%elsewhere.example@alpha.example>",
        "<@alpha.example:stranger@elsewhere.example>",
        '<"stranger@elsewhere.example"@alpha.example>',
        "<elsewhere.example!stranger>",
      ])
        assert.match(await dialogue.smtp(`RCPT TO:${trick}`), /^5\d\d /, trick);
      dialogue.close();
    }
  });

  test("mail to nobody is refused at the border, in any case and extension", async () => {
    const dialogue = await encrypted(25);
    await dialogue.smtp("MAIL FROM:<>");
    assert.match(await dialogue.smtp("RCPT TO:<nobody@alpha.example>"), /^550 5\.1\.1 /);
    assert.match(await dialogue.smtp("RCPT TO:<root@mail.alpha.example>"), /^250 /);
    assert.match(await dialogue.smtp("RCPT TO:<daemon@mail.alpha.example>"), /^550 /);
    assert.match(await dialogue.smtp("RCPT TO:<TEST+shop@ALPHA.example>"), /^250 /);
    assert.match(await dialogue.smtp("RCPT TO:<postmaster@alpha.example>"), /^250 /);
    dialogue.close();
  });

  test("nobody can log in where other servers deliver", async () => {
    const dialogue = await encrypted(25);
    const { address, password } = alpha.outputs.testUser;
    assert.match(await dialogue.smtp(plain(address, password)), /^503 /);
    dialogue.close();
  });
});

const submissionPorts = [
  { port: 465, wrapped: true },
  { port: 587, wrapped: false },
];

for (const { port, wrapped } of submissionPorts)
  describe(`port ${port}`, () => {
    test("nothing goes without a login, and no password in the clear", async () => {
      const { address, password } = alpha.outputs.testUser;
      if (!wrapped) {
        const clear = await to(port);
        await clear.smtp();
        assert.doesNotMatch(await clear.smtp("EHLO client.example"), /AUTH/);
        assert.match(await clear.smtp(plain(address, password)), /^530 5\.7\.0 /);
        clear.close();
      }
      const dialogue = await encrypted(port, { wrapped });
      await dialogue.smtp(`MAIL FROM:<${address}>`);
      assert.match(await dialogue.smtp(`RCPT TO:<${address}>`), /^554 |^530 /);
      dialogue.close();
    });

    test("a wrong password is refused", async () => {
      const dialogue = await encrypted(port, { wrapped });
      assert.match(
        await dialogue.smtp(plain(alpha.outputs.testUser.address, "not the one")),
        /^535 /,
      );
      dialogue.close();
    });

    test("a sender that isn't the login's own is refused; its own and its aliases are taken", async () => {
      const { address, password } = alpha.outputs.testUser;
      const attempts = [
        ["someone@elsewhere.example", /^553 5\.7\.1 /],
        ["other@alpha.example", /^553 5\.7\.1 /],
        [address, /^250 /],
        ["postmaster@alpha.example", /^250 /],
      ] as const;
      for (const [sender, answer] of attempts) {
        const dialogue = await encrypted(port, { wrapped });
        assert.match(await dialogue.smtp(plain(address, password)), /^235 /);
        await dialogue.smtp(`MAIL FROM:<${sender}>`);
        assert.match(await dialogue.smtp(`RCPT TO:<${address}>`), answer, sender);
        dialogue.close();
      }
    });

    for (const [family, host] of families)
      for (const tlsVersion of versions)
        test(`a login works with ${tlsVersion} over ${family}`, async () => {
          const { address, password } = alpha.outputs.testUser;
          const dialogue = await encrypted(port, { wrapped, tlsVersion, host: host() });
          assert.match(await dialogue.smtp(plain(address, password)), /^235 /);
          dialogue.close();
        });

    test("a mail that goes out says nothing of its sender's address or program", async () => {
      const { address, password } = alpha.outputs.testUser;
      const subject = randomUUID();
      const transport = createTransport({
        host: alpha.outputs.ipv4,
        port,
        secure: wrapped,
        requireTLS: true,
        name: "annas-laptop.home.example",
        auth: { user: address, pass: password },
        tls: { servername: alpha.outputs.serverHostname, ca: alpha.outputs.ca },
      });
      const sent = await transport.sendMail({
        from: address,
        to: address,
        subject,
        text: "hello",
        xMailer: false,
        headers: {
          "User-Agent": "CanaryAgent/1.0",
          "X-Mailer": "CanaryMailer",
          "X-Originating-IP": "[203.0.113.99]",
        },
      });
      transport.close();
      const mail = await readMail(alpha.mailbox(), sent.messageId);
      const headers = mail.headerLines.map(({ line }) => line).join("\n");
      assert.equal(mail.subject, subject);
      for (const trace of ["annas-laptop", "CanaryAgent", "CanaryMailer", "203.0.113.99"])
        assert.ok(!headers.includes(trace), `${trace} stands in:\n${headers}`);
      assert.doesNotMatch(headers, /\b10\.\d+\.\d+\.\d+\b/);
    });
  });

describe("port 993", () => {
  for (const [family, host] of families)
    for (const tlsVersion of versions)
      test(`reading works with ${tlsVersion} over ${family}`, async () => {
        const { address, password } = alpha.outputs.testUser;
        const dialogue = await to(993, { wrapped: true, tlsVersion, host: host() });
        assert.match(await dialogue.line(), /^\* OK /);
        assert.match(await dialogue.imap("a", `LOGIN ${address} ${password}`), /^a OK /m);
        assert.match(await dialogue.imap("b", "SELECT INBOX"), /^b OK /m);
        dialogue.close();
      });

  test("a client that doesn't speak TLS gets nothing, and port 143 is closed", async () => {
    const clear = await to(993);
    await assert.rejects(clear.imap("a", "CAPABILITY"), /hung up/);
    clear.close();
    await assert.rejects(to(143));
  });

  test("a wrong password is refused", async () => {
    const dialogue = await to(993, { wrapped: true });
    await dialogue.line();
    assert.match(
      await dialogue.imap("a", `LOGIN ${alpha.outputs.testUser.address} wrong-password`),
      /^a NO /m,
    );
    dialogue.close();
  });
});

test("filters are kept by ManageSieve, which takes a login only after STARTTLS", async () => {
  const login = plainLogin(alpha.outputs.testUser);
  const clear = await to(4190);
  assert.match(await clear.sieve(), /^"SASL" ""/m);
  assert.match(await clear.sieve(`AUTHENTICATE "PLAIN" "${login}"`), /^NO \(ENCRYPT-NEEDED\)/m);
  clear.close();
  const dialogue = await to(4190);
  await dialogue.sieve();
  assert.match(await dialogue.sieve("STARTTLS"), /^OK/m);
  await dialogue.startTls();
  assert.match(await dialogue.sieve(), /^"SASL" "PLAIN/m);
  assert.match(await dialogue.sieve(`AUTHENTICATE "PLAIN" "${login}"`), /^OK/m);
  const script = 'require "fileinto"; if header :contains "subject" "shop" { fileinto "Archive"; }';
  assert.match(await dialogue.sieve(`PUTSCRIPT "main" {${script.length}+}\r\n${script}`), /^OK/m);
  assert.match(await dialogue.sieve('SETACTIVE "main"'), /^OK/m);
  dialogue.close();
  await alpha.deliver({ subject: "your shop order" });
  const sorted = "doveadm search -u test@alpha.example mailbox Archive subject shop | grep -c .";
  assert.equal(await alpha.run(`for i in $(seq 50); do ${sorted} && exit; sleep 0.1; done`), "1\n");
  await alpha.run("doveadm sieve delete -u test@alpha.example -a main");
});

test("a mail from outside comes by the domain's MX record and is read over IMAPS", async () => {
  const subject = randomUUID();
  const delivery = await alpha.deliver({ subject });
  assert.equal(delivery.mx, "mail.alpha.example");
  assert.equal((await readMail(alpha.mailbox(), delivery.messageId)).subject, subject);
});
