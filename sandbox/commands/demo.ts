import { randomUUID } from "node:crypto";
import { join, relative } from "node:path";
import { z } from "zod";
import { startCloud } from "../cloud/client.ts";
import { inGuest } from "../cloud/shell.ts";
import { writeFileAtomic } from "../files.ts";
import { chooseGuest, listGuests } from "../guests.ts";
import { paths, root } from "../paths.ts";
import { Stack } from "../stack.ts";
import { Stopwatch } from "../stopwatch.ts";
import { UpDisplay } from "../up-display.ts";
import { sendFromOutside } from "../world/outside.ts";
import { readMail } from "../world/reader.ts";
import { setupOnly } from "./setup.ts";

const service = z.looseObject({ host: z.string(), port: z.number(), security: z.string() });
const outputs = z.looseObject({
  serverHostname: z.string(),
  ipv4: z.string(),
  ipv6: z.string().nullish(),
  ca: z.string(),
  sshCommand: z.string(),
  clientSettings: z.looseObject({ imap: service, smtp: service }),
  testUser: z.object({ address: z.string(), password: z.string() }),
});
type Outputs = z.infer<typeof outputs>;

/** From nothing to a mail that has been sent from outside and read; the server stays up. */
export async function demo(): Promise<void> {
  const watch = new Stopwatch();
  await watch.time("setup", () => setupOnly());
  heading("Starting the cloud");
  const cloud = await watch.time("cloud", startCloud);

  heading("pulumi up of stack dev");
  const stack = await Stack.open("dev", { configFrom: join(root, "Pulumi.dev.yaml") });
  await stack.clearStaleLock();
  await watch.time("pulumi up", () => bringUp(stack));
  const server = outputs.parse(await stack.outputs({ secrets: true }));

  heading(`A mail from outside to ${server.testUser.address}`);
  const subject = await watch.time("mail", () => mailFromOutside(server, cloud.resolverAddress));
  heading("The same mail as whoever holds the server's disk sees it");
  console.log(await onDisk(server, subject));
  const caFile = join(paths.stacks, "dev-ca.pem");
  await writeFileAtomic(caFile, server.ca);
  console.log(summary(server, relative(root, caFile), cloud.resolverAddress, watch));
}

async function bringUp(stack: Stack): Promise<void> {
  const display = new UpDisplay(process.stdout);
  try {
    await stack.up({ onOutput: (line) => display.show(line) });
  } finally {
    display.end();
  }
}

/** Returns the mail's subject. */
async function mailFromOutside(server: Outputs, resolver: string): Promise<string> {
  const subject = `Hello from outside, ${randomUUID().slice(0, 8)}`;
  const delivery = await sendFromOutside({
    from: "bert@outside.example",
    to: server.testUser.address,
    subject,
    text: "Does this reach you?",
    helo: "mail.outside.example",
    resolver,
    ca: server.ca,
  });
  console.log(`Sent to ${delivery.mx} (${delivery.address}) over TLS: ${delivery.response}`);
  const { host, port } = server.clientSettings.imap;
  const { address: user, password } = server.testUser;
  const mailbox = { host, address: server.ipv4, port, user, password, ca: server.ca };
  const mail = await readMail(mailbox, delivery.messageId);
  if (mail.subject !== subject)
    throw new Error(`The mail that came has the subject "${mail.subject}".`);
  console.log(`Read over IMAPS from ${host}: "${mail.subject}"`);
  return subject;
}

/** The newest stored mail, and how many files of the volume have its subject in them. */
async function onDisk({ serverHostname }: Outputs, subject: string): Promise<string> {
  const { id } = chooseGuest(await listGuests(), serverHostname);
  const look = `cd /srv/mail
newest=$(find . -path '*/dbox-Mails/u.*' -printf '%T@ %p\\n' | sort -n | tail -n 1 | cut -d ' ' -f 2)
echo "/srv/mail/\${newest#./}"
od -A x -t x1z -N 96 "$newest"
echo "Files below /srv/mail in which '$1' stands: $(grep -rlF "$1" . | wc -l)"`;
  return (await inGuest(id, ["sh", "-c", look, "sh", subject])).trimEnd();
}

function summary(server: Outputs, caFile: string, resolver: string, watch: Stopwatch): string {
  const { imap, smtp } = server.clientSettings;
  const at = ({ host, port, security }: z.infer<typeof service>) => `${host}:${port} (${security})`;
  return `
The mail server runs and stays up.
  Server       ${server.serverHostname}, ${[server.ipv4, server.ipv6].filter(Boolean).join(", ")}
  Mail client  on this machine; IMAP ${at(imap)}, SMTP ${at(smtp)}
               user ${server.testUser.address}; its password: npm run sandbox -- pulumi stack output testUser --show-secrets
               authority to trust: ${caFile}; name server: ${resolver}
               curl --cacert ${caFile} --resolve ${imap.host}:${imap.port}:${server.ipv4} --user ${server.testUser.address} imaps://${imap.host}/INBOX
  SSH          eval "$(npm run --silent sandbox -- env)"; ssh-agent sh -c "$(pulumi stack output sshCommand)"
  Look         npm run sandbox -- status | shell | logs
  Stop         npm run sandbox -- down   (down --all removes what is on disk, too)
  It took      ${watch}
`;
}

function heading(text: string): void {
  console.log(`\n${text}`);
}
