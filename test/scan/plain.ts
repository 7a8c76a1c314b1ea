import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { inGuest } from "../../sandbox/cloud/shell.ts";
import { findMachine, makeMachine } from "../../sandbox/world/machine.ts";
import { inTheClear, type Place } from "./place.ts";

const mailDomain = "plain.example";
const hostname = `mail.${mailDomain}`;

/** A plain Debian with a mail server, made where it isn't there. */
export async function plainDebian(): Promise<Place> {
  const machine = (await findMachine(hostname)) ?? (await makeMachine(hostname, {}));
  const script = await readFile(join(import.meta.dirname, "plain.sh"), "utf8");
  const password = "password-of-a-test";
  const run = ["/bin/sh", "-c", script, "sh", mailDomain];
  await inGuest(machine.id, run, { input: password });
  const login = { address: `test@${mailDomain}`, password };
  return inTheClear(machine.ipv4, hostname, { mailDomain, login });
}
