import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { before, test } from "node:test";
import { createTransport } from "nodemailer";
import { readMail } from "../../sandbox/world/reader.ts";
import { TestServer } from "./server.ts";

let alpha: TestServer;
let beta: TestServer;
before(async () => {
  alpha = await TestServer.up("alpha");
  beta = await TestServer.up("beta");
});

/** As a mail client does: login on 465, then Postfix finds the other server by MX and delivers over TLS. */
async function write(from: TestServer, to: TestServer): Promise<string> {
  const { address, password } = from.outputs.testUser;
  const { ipv4: host, serverHostname: servername, ca } = from.outputs;
  const transport = createTransport({
    host,
    port: 465,
    secure: true,
    auth: { user: address, pass: password },
    tls: { servername, ca },
  });
  const subject = randomUUID();
  const recipient = to.outputs.testUser.address;
  const { messageId } = await transport.sendMail({
    from: address,
    to: recipient,
    subject,
    text: "hello",
  });
  transport.close();
  const mail = await readMail(to.mailbox(), messageId, 60);
  assert.equal(mail.subject, subject);
  return mail.headerLines.map(({ line }) => line).join("\n");
}

test("two servers of two stacks exchange mail both ways, over TLS", async () => {
  for (const [from, to] of [
    [alpha, beta],
    [beta, alpha],
  ] as const) {
    const headers = await write(from, to);
    assert.match(
      headers,
      new RegExp(`from ${from.outputs.serverHostname}[\\s\\S]*using TLSv1\\.3`),
    );
  }
});

test("a server that offers no TLS gets no mail: it waits in the queue", async () => {
  await beta.run("postconf -e smtpd_tls_security_level=none && postfix reload 2>/dev/null");
  await alpha.run(
    `printf 'Subject: waits\\n\\nhello\\n' | sendmail -f ${alpha.outputs.testUser.address} ${beta.outputs.testUser.address}`,
  );
  const deferred = await alpha.run(
    "for i in $(seq 100); do journalctl -u postfix -o cat --no-pager | grep 'status=deferred' | tail -1 | grep TLS && exit 0; sleep 0.1; done; exit 1",
  );
  assert.match(deferred, /TLS is required, but was not offered/);
  await beta.run("postconf -e smtpd_tls_security_level=encrypt && postfix reload 2>/dev/null");
  await alpha.run("postsuper -d ALL");
});
