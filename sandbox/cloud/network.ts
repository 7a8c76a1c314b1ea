import { createHash } from "node:crypto";
import { access, readFile } from "node:fs/promises";
import { z } from "zod";
import { command, succeeds } from "./command.ts";

/** The addresses of one sandbox; a pure function of its number and its folder. */
export interface Plan {
  /** The second octet: the sandbox's IPv4 addresses are 10.NUMBER.0.0/16. */
  number: number;
  ipv4Range: string;
  ipv6Range: string;
  /** The machine's own end of the link into the sandbox. */
  host: { ipv4: string; ipv6: string };
  /** The guests' gateway, which also has the mirror relay. */
  gateway: { ipv4: string; ipv6: string };
  resolver: { ipv4: string; ipv6: string };
  authoritative: { ipv4: string; ipv6: string };
  /** The network namespace, and the machine's interface that leads into it. */
  namespace: string;
  hostLink: string;
}

/** The namespace's own end of that link. */
export const uplink = "host";

/** Guests: the namespace's end of the link to one. */
export const linkOf = (id: number) => `g${id}`;

/** Of fe80::/10, the same on every guest's link. */
const gatewayLinkLocal = "fe80::1";

const candidates = Array.from({ length: 64 }, (_, index) => 64 + index);

/** `dir` is the sandbox's folder: it alone tells the sandboxes of a machine apart. */
export function planFor(dir: string, number: number): Plan {
  const hash = createHash("sha256").update(dir).digest("hex");
  const ipv4 = `10.${number}`;
  const ipv6 = `fd${hash.slice(0, 2)}:${hash.slice(2, 6)}:${hash.slice(6, 10)}`;
  return {
    number,
    ipv4Range: `${ipv4}.0.0/16`,
    ipv6Range: `${ipv6}::/48`,
    host: { ipv4: `${ipv4}.0.1`, ipv6: `${ipv6}::1` },
    gateway: { ipv4: `${ipv4}.0.2`, ipv6: `${ipv6}::2` },
    resolver: { ipv4: `${ipv4}.0.53`, ipv6: `${ipv6}::53` },
    authoritative: { ipv4: `${ipv4}.0.54`, ipv6: `${ipv6}::54` },
    namespace: `mailfruit-${hash.slice(0, 8)}`,
    hostLink: `mf-${hash.slice(0, 8)}`,
  };
}

/** A droplet's addresses: `index` counts from 1 and is never given twice while its droplet lives. */
export function addressesOf(plan: Plan, index: number) {
  const [high, low] = [Math.floor(index / 256), index % 256];
  return {
    ipv4: `10.${plan.number}.${16 + high}.${low}`,
    ipv4Private: `10.${plan.number}.${128 + high}.${low}`,
    ipv6: plan.ipv6Range.replace("::/48", `:1::${index.toString(16)}`),
  };
}

export function reservedIp(plan: Plan, index: number): string {
  return `10.${plan.number}.${240 + Math.floor(index / 256)}.${index % 256}`;
}

/** How many droplets' addresses there are. */
export const maximumIndex = 95 * 256 + 254;
export const maximumReserved = 15 * 256 + 254;

const routes = z.array(z.object({ dst: z.string() }));

/** The first /16 that none of the machine's routes touches. */
export async function chooseNumber(): Promise<number> {
  const taken = await takenNumbers();
  const free = candidates.find((number) => !taken(number));
  if (free === undefined) {
    throw new Error("Every network from 10.64.0.0/16 to 10.127.0.0/16 is in use on this machine.");
  }
  return free;
}

/** A default route takes none, nor does one to all of 10.0.0.0/8, as VPNs have it: ours are narrower. */
export async function takenNumbers(): Promise<(number: number) => boolean> {
  const show = ["-j", "-4", "route", "show", "table", "all"];
  const table = routes.parse(JSON.parse(await command("ip", show)));
  const spans = table.flatMap(({ dst }) => {
    const [, octet, length = "32"] = dst.match(/^10\.(\d+)[\d.]*(?:\/(\d+))?$/) ?? [];
    if (octet === undefined || Number(length) <= 8) return [];
    const size = 2 ** Math.max(0, 16 - Number(length));
    const first = Math.floor(Number(octet) / size) * size;
    return [{ first, end: first + size }];
  });
  return (number) => spans.some(({ first, end }) => number >= first && number < end);
}

export const namespaceFile = (name: string) => `/run/netns/${name}`;

/** Runs a command in a network namespace, but with the machine's own files and processes. */
export function inNamespace(name: string, argv: string[], input = ""): Promise<string> {
  return command("nsenter", [`--net=${namespaceFile(name)}`, ...argv], input);
}

/** Idempotent: what stands and is whole is left alone, so that running guests keep their links. */
export async function ensureNetwork(plan: Plan): Promise<void> {
  if (await networkStands(plan)) return;
  await removeNetwork(plan);
  await command("ip", ["netns", "add", plan.namespace]);
  await command("ip", [
    ...["link", "add", plan.hostLink, "type", "veth"],
    ...["peer", "name", uplink, "netns", plan.namespace],
  ]);
  await inNamespace(plan.namespace, ["ip", "-batch", "-"], insideOfUplink(plan));
  await setSysctls(plan.namespace, routerSysctls);
  await command("ip", ["-batch", "-"], outsideOfUplink(plan));
  if (await hasIpv6()) await command("ip", ["-batch", "-"], outsideOfUplinkIpv6(plan));
}

/** No error where there is none. */
export async function removeNetwork(plan: Plan): Promise<void> {
  await succeeds("ip", ["link", "delete", plan.hostLink]);
  await removeNamespace(plan.namespace);
}

export const guestNamespace = (plan: Plan, id: number) => `${plan.namespace}-${id}`;

/**
 * A guest's own namespace with its interface `eth0`, configured as DigitalOcean's metadata would have it, and
 * the routes to it. Made anew at each power-on; a reboot inside the guest keeps it.
 */
export async function makeGuestLink(
  plan: Plan,
  id: number,
  addresses: { ipv4: string[]; ipv6: string[] },
): Promise<void> {
  const namespace = guestNamespace(plan, id);
  const link = linkOf(id);
  await removeGuestLink(plan, id);
  await command("ip", ["netns", "add", namespace]);
  await setSysctls(namespace, [
    "net/ipv6/conf/all/disable_ipv6=0",
    "net/ipv6/conf/default/accept_ra=0",
  ]);
  const outside = [
    `link add ${link} type veth peer name eth0 netns ${namespace}`,
    `link set ${link} addrgenmode none up`,
    `addr add ${gatewayLinkLocal}/64 dev ${link} nodad`,
    ...addresses.ipv4.map((address) => `route add ${address}/32 dev ${link}`),
    ...addresses.ipv6.map((address) => `route add ${address}/128 dev ${link}`),
  ];
  await inNamespace(plan.namespace, ["ip", "-batch", "-"], batch(outside));
  const inside = [
    "link set lo up",
    "link set eth0 addrgenmode none up",
    `addr add ${linkLocal(id)}/64 dev eth0 nodad`,
    ...addresses.ipv4.map((address) => `addr add ${address}/32 dev eth0`),
    ...addresses.ipv6.map((address) => `addr add ${address}/128 dev eth0 nodad`),
    `route add default via ${plan.gateway.ipv4} dev eth0 onlink`,
    ...(addresses.ipv6.length > 0 ? [`route add default via ${gatewayLinkLocal} dev eth0`] : []),
  ];
  await inNamespace(namespace, ["ip", "-batch", "-"], batch(inside));
}

export async function removeGuestLink(plan: Plan, id: number): Promise<void> {
  if (await isThere(namespaceFile(plan.namespace))) {
    await succeeds("nsenter", [
      `--net=${namespaceFile(plan.namespace)}`,
      ...["ip", "link", "delete", linkOf(id)],
    ]);
  }
  await removeNamespace(guestNamespace(plan, id));
}

async function removeNamespace(name: string): Promise<void> {
  if (await isThere(namespaceFile(name))) await command("ip", ["netns", "delete", name]);
}

async function isThere(file: string): Promise<boolean> {
  return access(file).then(
    () => true,
    () => false,
  );
}

const links = z.array(z.object({ addr_info: z.array(z.object({ local: z.string() })) }));

/** Whether both ends of the link into the namespace have their addresses. */
export async function networkStands(plan: Plan): Promise<boolean> {
  if (!(await isThere(namespaceFile(plan.namespace)))) return false;
  const show = ["ip", "-j", "addr", "show", "dev"];
  const has = async (answer: Promise<string>, address: string) => {
    const found = await answer.then(
      (text) => links.parse(JSON.parse(text)),
      () => [],
    );
    return found.some((link) => link.addr_info.some((info) => info.local === address));
  };
  const outside = command("ip", [...show.slice(1), plan.hostLink]);
  const inside = inNamespace(plan.namespace, [...show, uplink]);
  return (await has(outside, plan.host.ipv4)) && (await has(inside, plan.gateway.ipv4));
}

function insideOfUplink(plan: Plan): string {
  return batch([
    "link set lo up",
    `addr add ${plan.gateway.ipv4}/30 dev ${uplink}`,
    `addr add ${plan.gateway.ipv6}/126 dev ${uplink} nodad`,
    `link set ${uplink} up`,
  ]);
}

function outsideOfUplink(plan: Plan): string {
  return batch([
    `addr add ${plan.host.ipv4}/30 dev ${plan.hostLink}`,
    `link set ${plan.hostLink} up`,
    `route add ${plan.ipv4Range} via ${plan.gateway.ipv4} dev ${plan.hostLink}`,
  ]);
}

function outsideOfUplinkIpv6(plan: Plan): string {
  return batch([
    `addr add ${plan.host.ipv6}/126 dev ${plan.hostLink} nodad`,
    `route add ${plan.ipv6Range} via ${plan.gateway.ipv6} dev ${plan.hostLink}`,
  ]);
}

/** Given, because the kernel's own would first be tried for duplicates for a second. */
function linkLocal(id: number): string {
  return `fe80::1:${(id >>> 16).toString(16)}:${(id & 0xffff).toString(16)}`;
}

const batch = (lines: string[]) => `${lines.join("\n")}\n`;

const routerSysctls = [
  "net/ipv4/ip_forward=1",
  "net/ipv6/conf/all/disable_ipv6=0",
  "net/ipv6/conf/all/forwarding=1",
];

/** /proc/sys/net shows the namespace of whoever opens it. */
async function setSysctls(namespace: string, settings: string[]): Promise<void> {
  const lines = settings.map((setting) => setting.split("=").reverse());
  const script = lines.map(([value, name]) => `echo ${value} >/proc/sys/${name}`).join("\n");
  await inNamespace(namespace, ["sh", "-eu"], script);
}

async function hasIpv6(): Promise<boolean> {
  const off = await readFile("/proc/sys/net/ipv6/conf/default/disable_ipv6", "utf8").catch(
    () => "1",
  );
  return off.trim() === "0";
}
