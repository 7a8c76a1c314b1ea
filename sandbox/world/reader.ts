import { setTimeout as sleep } from "node:timers/promises";
import { ImapFlow } from "imapflow";
import { type ParsedMail, simpleParser } from "mailparser";

export interface Mailbox {
  /** The server's name, which its certificate has to bear, and the address to connect to. */
  host: string;
  address: string;
  port: number;
  user: string;
  password: string;
  /** PEM; the only authority that is trusted. */
  ca: string;
}

/**
 * Reads the mail with this Message-ID from the inbox over IMAPS, waiting for it.
 *
 * @throws Where it hasn't come after `seconds`, or the server refuses the login or shows another certificate.
 */
export async function readMail(
  mailbox: Mailbox,
  messageId: string,
  seconds = 30,
): Promise<ParsedMail> {
  const client = new ImapFlow({
    host: mailbox.address,
    port: mailbox.port,
    secure: true,
    servername: mailbox.host,
    tls: { ca: mailbox.ca },
    auth: { user: mailbox.user, pass: mailbox.password },
    logger: false,
  });
  await client.connect();
  try {
    return await waitForMail(client, messageId, Date.now() + seconds * 1000);
  } finally {
    await client.logout();
  }
}

async function waitForMail(
  client: ImapFlow,
  messageId: string,
  until: number,
): Promise<ParsedMail> {
  const lock = await client.getMailboxLock("INBOX");
  try {
    while (Date.now() < until) {
      await client.noop();
      const found = await client.search({ header: { "message-id": messageId } });
      const last = found ? found.at(-1) : undefined;
      const message = last ? await client.fetchOne(String(last), { source: true }) : undefined;
      const source = message ? message.source : undefined;
      if (source) return await simpleParser(source);
      await sleep(250);
    }
  } finally {
    lock.release();
  }
  throw new Error(`The mail ${messageId} has not come into the inbox.`);
}
