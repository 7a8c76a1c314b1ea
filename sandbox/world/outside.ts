import { Resolver } from "node:dns/promises";
import { createTransport } from "nodemailer";

export interface OutsideMail {
  from: string;
  to: string;
  subject: string;
  text: string;
  /** The name that the sending host gives itself (EHLO). */
  helo: string;
  /** Address of the resolver that knows the receiving domain. */
  resolver: string;
  /** PEM; with it the receiving server's certificate has to be one of this authority's, for its name. */
  ca?: string;
}

export interface Delivery {
  /** The mail exchanger's name and the address that took the mail. */
  mx: string;
  address: string;
  /** The server's last answer: 250 and what it says. */
  response: string;
  messageId: string;
}

/** Delivers a mail as a foreign mail server does: MX look-up, port 25, STARTTLS or not at all. */
export async function sendFromOutside(mail: OutsideMail): Promise<Delivery> {
  const { mx, address } = await findMx(mail.to, mail.resolver);
  const transport = createTransport({
    host: address,
    port: 25,
    name: mail.helo,
    requireTLS: true,
    tls: mail.ca ? { servername: mx, ca: mail.ca } : { servername: mx, rejectUnauthorized: false },
    connectionTimeout: 15_000,
    socketTimeout: 60_000,
  });
  try {
    const { from, to, subject, text } = mail;
    const sent = await transport.sendMail({ from, to, subject, text });
    return { mx, address, response: sent.response, messageId: sent.messageId };
  } finally {
    transport.close();
  }
}

/** The exchanger that a mail to `recipient` goes to first, and its IPv4 address. */
async function findMx(recipient: string, server: string): Promise<{ mx: string; address: string }> {
  const domain = recipient.slice(recipient.lastIndexOf("@") + 1);
  const resolver = new Resolver({ timeout: 5_000, tries: 3 });
  resolver.setServers([server]);
  const exchangers = (await resolver.resolveMx(domain)).sort((a, b) => a.priority - b.priority);
  const mx = exchangers[0]?.exchange;
  if (!mx) throw new Error(`${domain} has no mail exchanger in the DNS at ${server}.`);
  const [address] = await resolver.resolve4(mx);
  if (!address) throw new Error(`${mx}, the mail exchanger of ${domain}, has no IPv4 address.`);
  return { mx, address };
}
