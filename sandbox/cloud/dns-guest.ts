import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { knotConfiguration, unboundConfiguration, zoneFolder, zoneText } from "./dns.ts";
import { listens } from "./guests.ts";
import type { FirewallRules, Zone } from "./hypervisor.ts";
import { imagePath } from "./image.ts";
import type { Plan } from "./network.ts";
import { inGuest } from "./shell.ts";
import type { GuestRecord } from "./state.ts";

/** The sandbox's own guest, which is no droplet: the number is none of theirs. */
export const dnsGuestId = 0;

const anywhere = ["0.0.0.0/0", "::/0"];

/** Answers questions and asks none. */
const rules: FirewallRules = {
  inbound: [
    { protocol: "udp", ports: "53", sources: anywhere },
    { protocol: "tcp", ports: "53", sources: anywhere },
    { protocol: "icmp", ports: "all", sources: anywhere },
  ],
  outbound: [],
};

export async function dnsGuest(plan: Plan): Promise<GuestRecord> {
  return {
    id: dnsGuestId,
    name: "dns",
    image: await imagePath("dns"),
    seed: null,
    ipv4: [plan.resolver.ipv4, plan.authoritative.ipv4],
    ipv6: [plan.resolver.ipv6, plan.authoritative.ipv6],
    memoryMiB: 512,
    power: "on",
    rules,
  };
}

/**
 * Puts the zones into the guest's disk, whether it is on or not.
 *
 * @returns Whether the set of zones is another than before.
 */
export async function writeZones(root: string, plan: Plan, zones: Zone[]): Promise<boolean> {
  const folder = join(root, zoneFolder);
  await mkdir(folder, { recursive: true });
  const wanted = new Map(zones.map((zone) => [`${zone.name}.zone`, zone]));
  for (const name of await readdir(folder)) {
    if (!wanted.has(name)) await rm(join(folder, name));
  }
  const serial = Math.floor(Date.now() / 1000);
  for (const [name, zone] of wanted) await writeZone(join(folder, name), zone, serial);
  const unbound = await replace(
    join(root, "etc/unbound/unbound.conf"),
    unboundConfiguration(plan, zones),
  );
  const knot = await replace(join(root, "etc/knot/knot.conf"), knotConfiguration(plan, zones));
  return unbound || knot;
}

/**
 * Resolves when the servers answer from the new zones.
 *
 * @throws Where a zone isn't one, with Knot's words; the others are served, and of that one what it was before.
 */
export async function reloadZones(dir: string, setChanged: boolean): Promise<void> {
  const run = (...argv: string[]) => inGuest(dnsGuestId, argv, { dir });
  const began = (Date.now() / 1000).toFixed(3);
  if (setChanged) {
    await run("knotc", "--blocking", "reload");
    await run("systemctl", "reload-or-restart", "unbound.service");
  }
  const reloaded = await run("knotc", "--blocking", "zone-reload").then(
    () => true,
    () => false,
  );
  if (reloaded) return;
  const journal = await run("journalctl", "--unit=knot", "--output=cat", `--since=@${began}`);
  const errors = journal.split("\n").filter((line) => line.startsWith("error:"));
  throw new Error(`Knot doesn't take every zone:\n${[...new Set(errors)].join("\n")}`);
}

/** Whether both servers take questions. */
export async function dnsServes(plan: Plan, guestDir: string): Promise<boolean> {
  const [resolver, authoritative] = [plan.resolver.ipv4, plan.authoritative.ipv4];
  return (await listens(guestDir, 53, resolver)) && (await listens(guestDir, 53, authoritative));
}

/** An unchanged zone keeps its serial: only the first line, the SOA, has it. */
async function writeZone(file: string, zone: Zone, serial: number): Promise<void> {
  const old = await readFile(file, "utf8").catch(() => "");
  const oldSerial = Number(old.match(/ SOA \S+ \S+ (\d+) /)?.[1] ?? 0);
  if (old === zoneText(zone, oldSerial)) return;
  await writeFile(file, zoneText(zone, Math.max(serial, oldSerial + 1)));
}

async function replace(file: string, text: string): Promise<boolean> {
  if ((await readFile(file, "utf8").catch(() => "")) === text) return false;
  await writeFile(file, text);
  return true;
}
