import { join } from "node:path";
import { root } from "../../sandbox/paths.ts";
import { Stack } from "../../sandbox/stack.ts";
import { cloudApi } from "../system/cloud.ts";
import { machineFacts } from "./machine.ts";
import { BenchGuest } from "./mail/guest.ts";
import { full, measureMail, quick } from "./mail/measure.ts";
import { type MailReport, makeMailReport } from "./mail/report.ts";

/** How quick the product's server is, and what encryption and the mailbox format have to do with it. */
export async function benchMail(
  isQuick: boolean,
  check: () => void,
  say: (line: string) => void,
): Promise<MailReport> {
  const began = performance.now();
  const machine = await machineFacts();
  const domain = "bench-mail.example";
  say("Making a server for it.");
  const stack = await Stack.open("bench-mail", {
    configFrom: join(root, "Pulumi.dev.yaml"),
    config: { mailDomain: domain, adminEmail: `test@${domain}` },
  });
  await stack.up();
  check();
  const guest = new BenchGuest(await guestOf(domain), domain, check);
  await guest.prepare();
  const samples = await measureMail(guest, isQuick ? quick : full, (line) => say(`  ${line}`));
  return makeMailReport(machine, samples, (performance.now() - began) / 1000);
}

async function guestOf(domain: string): Promise<number> {
  const { droplets } = await cloudApi.droplets();
  const droplet = droplets.find(({ name }) => name === `mail.${domain}`);
  if (!droplet) throw new Error(`There is no droplet mail.${domain}.`);
  return droplet.id;
}
