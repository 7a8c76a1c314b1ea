import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { type Dialogue, plainLogin } from "./dialogue.ts";

type User = Parameters<typeof plainLogin>[0];

/** Logs in on a connection of submission after its greeting, or after STARTTLS. */
export async function logIn(smtp: Dialogue, user: User): Promise<void> {
  await smtp.smtp("EHLO client.example");
  assert.match(await smtp.smtp(`AUTH PLAIN ${plainLogin(user)}`), /^235 /);
}

/** Hands in a mail as a user's program does, after the greeting or STARTTLS; its subject, which is in its Message-ID, too. */
export async function submit(
  smtp: Dialogue,
  user: User,
  recipient: string,
  subject: string = randomUUID(),
): Promise<string> {
  await logIn(smtp, user);
  await smtp.smtp(`MAIL FROM:<${user.address}>`);
  assert.match(await smtp.smtp(`RCPT TO:<${recipient}>`), /^250 /);
  await smtp.smtp("DATA");
  const headers = `From: <${user.address}>\r\nTo: <${recipient}>\r\nMessage-ID: <${subject}@client.example>\r\nSubject: ${subject}`;
  assert.match(await smtp.smtp(`${headers}\r\n\r\nhello\r\n.`), /^250 /);
  return subject;
}
