import type { TestServer } from "../system/server.ts";
import { dialogues, firstAnswers, type Seen } from "./dialogues.ts";
import { inTheClear, type Place, withoutNames } from "./place.ts";
import { ssh } from "./ssh.ts";
import { tls } from "./tls.ts";
import type { Scanner } from "./tools.ts";

/** Ports with TLS, from the start or after STARTTLS. */
const tlsPorts = [25, 465, 587, 993, 4190];

/** All that is seen of a server without a tool of others. */
export async function look(place: Place): Promise<Seen> {
  const parts = await Promise.all([
    firstAnswers(place),
    dialogues(place),
    ssh(place),
    ...tlsPorts.map((port) => tls(place, port)),
  ]);
  return Object.assign({}, ...parts);
}

/** What the usual scanners say of it; a few minutes. */
export async function lookWithTools(scanner: Scanner, place: Place): Promise<Seen> {
  const address = place.host(22);
  const seen: Seen = {};
  Object.assign(seen, await scanner.sshAudit(address));
  for (const port of [25, 465, 993]) Object.assign(seen, await scanner.testssl(address, port));
  Object.assign(seen, await scanner.nmap(address));
  return Object.fromEntries(
    Object.entries(seen).map(([name, said]) => [name, withoutNames(place, said)]),
  );
}

/** A stack's server, as the world meets it. */
export function placeOf({ outputs }: TestServer): Place {
  const { ipv4, serverHostname, mailDomain, testUser: login } = outputs;
  return inTheClear(ipv4, serverHostname, { mailDomain, login });
}
