import { spawn } from "node:child_process";
import { open, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { ifExists, writeFileAtomic } from "../files.ts";
import { lastLines } from "../process.ts";
import { killCgroup, makeCgroup } from "./cgroups.ts";
import { waitUntil } from "./command.ts";
import { type Device, diskFolder, linkDevices } from "./devices.ts";
import { unmountDisk } from "./disk.ts";
import { prepareDisk } from "./first-boot.ts";
import {
  guestNamespace,
  makeGuestLink,
  namespaceFile,
  type Plan,
  removeGuestLink,
} from "./network.ts";
import { childrenOf, isAlive, isFirstOfNamespace, processIdentity, signal } from "./processes.ts";
import type { GuestRecord } from "./state.ts";

/** The guest's kernel-side names, all derived from the sandbox's plan. */
const cgroupOf = (plan: Plan, id: number) => `${plan.namespace}/${id}`;

export const consoleLog = (dir: string) => join(dir, "console.log");

/** Switches it on; see {@link untilUp}. Where it is off after a crash, {@link pullPlug} comes first. */
export async function powerOn(
  plan: Plan,
  dir: string,
  guest: GuestRecord,
  devices: Device[],
): Promise<void> {
  await prepareDisk(plan, dir, guest);
  await makeGuestLink(plan, guest.id, guest);
  await linkDevices(dir, devices);
  await writeBootCommand(plan, dir, guest, devices);
  await rm(join(dir, "ended"), { force: true });
  await supervise(dir, await makeCgroup(cgroupOf(plan, guest.id), guest.memoryMiB));
}

/**
 * Waits for what tells that it is up. False where it hasn't come in 20 s, as with a server that listens elsewhere.
 *
 * @throws Where it ends meanwhile, with the last words of its console. Having powered itself off is no error.
 */
export async function untilUp(
  dir: string,
  guest: GuestRecord,
  isUp: () => Promise<boolean>,
): Promise<boolean> {
  const settled = await waitUntil(async () => (await isUp()) || !(await isOn(dir)), 20);
  if ((await isOn(dir)) || (await poweredItselfOff(dir))) return settled;
  const words = lastLines((await ifExists(readFile(consoleLog(dir), "utf8"))) ?? "");
  throw new Error(
    `Guest ${guest.name} doesn't boot. Its console (${consoleLog(dir)}) ends:\n${words}`,
  );
}

/** The command line of the next boot; it holds for reboots inside the guest too. */
export async function writeBootCommand(
  plan: Plan,
  dir: string,
  guest: GuestRecord,
  devices: Device[],
): Promise<void> {
  const nspawn = [
    ...["env", "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1", "systemd-nspawn", "--quiet", "--boot"],
    ...["--register=no", "--keep-unit", "--console=read-only", "--link-journal=no"],
    ...["--resolv-conf=off", "--timezone=off"],
    // What a droplet's root has: a mounted file system can grow (resize2fs), and a guest has its own filter (nft).
    "--capability=CAP_SYS_RESOURCE,CAP_NET_ADMIN",
    `--directory=${join(dir, "root")}`,
    `--machine=${guestNamespace(plan, guest.id)}`,
    // A droplet's name is given to it by cloud-init.
    `--hostname=${guest.seed ? "localhost" : guest.name}`,
    `--network-namespace-path=${namespaceFile(guestNamespace(plan, guest.id))}`,
    `--bind=${escapeBind(diskFolder(dir))}:/dev/disk`,
    ...devices.map((device) => `--bind=${device.host}:/dev/${device.name}`),
  ];
  await writeFileAtomic(join(dir, "boot"), nspawn.map((item) => `${item}\0`).join(""), 0o600);
}

/** Process id of the guest's first process; undefined while it is off. */
export async function initOf(dir: string): Promise<number | undefined> {
  const supervisor = await readIdentity(dir);
  if (!supervisor) return undefined;
  const nspawn = childrenOf(supervisor.pid)[0];
  return nspawn === undefined ? undefined : childrenOf(nspawn).find(isFirstOfNamespace);
}

/** Whether it is on, also while it reboots. */
export async function isOn(dir: string): Promise<boolean> {
  return (await readIdentity(dir)) !== undefined;
}

/** Whether its own `poweroff` was what ended it. */
export async function poweredItselfOff(dir: string): Promise<boolean> {
  return (await ifExists(readFile(join(dir, "ended"), "utf8")))?.trim() === "0";
}

/** Of one that somebody else ended: it is to be on again. */
export async function forgetEnd(dir: string): Promise<void> {
  await rm(join(dir, "ended"), { force: true });
}

/** Whether something in the guest listens on a TCP port, at a certain IPv4 address if one is given. */
export async function listens(dir: string, port: number, address?: string): Promise<boolean> {
  const init = await initOf(dir);
  const wanted = `${address ? kernelAddress(address) : ""}:${hexadecimal(port, 4)}`;
  for (const table of ["tcp", "tcp6"]) {
    // A process's own view of the network, which for the guest's first one is the guest's.
    const text = await readFile(`/proc/${init}/net/${table}`, "utf8").catch(() => "");
    const sockets = text.split("\n").map((line) => line.trim().split(/\s+/));
    if (sockets.some(([, at, , state]) => state === listening && at?.endsWith(wanted))) return true;
  }
  return false;
}

/** The state in /proc/net/tcp. */
const listening = "0A";

const hexadecimal = (value: number, digits: number) =>
  value.toString(16).toUpperCase().padStart(digits, "0");

/** As /proc/net/tcp writes it on the machines that Debian's amd64 and arm64 run on: backwards. */
function kernelAddress(ipv4: string): string {
  const bytes = ipv4.split(".").map((byte) => hexadecimal(Number(byte), 2));
  return bytes.reverse().join("");
}

/** As by ACPI: the guest's init powers off; after 30 s the plug is pulled. */
export async function shutDown(plan: Plan, dir: string, id: number): Promise<void> {
  const supervisor = await readIdentity(dir);
  if (supervisor) {
    const nspawn = childrenOf(supervisor.pid)[0];
    if (nspawn !== undefined) signal(nspawn, "SIGTERM"); // which asks the guest's init to power off
    await waitUntil(() => !isAlive(supervisor), 30);
  }
  await pullPlug(plan, dir, id);
}

/** Ends it at once, with whatever belongs to it. Of the guest, only its disk is left. */
export async function pullPlug(plan: Plan, dir: string, id: number): Promise<void> {
  await killCgroup(cgroupOf(plan, id));
  await rm(join(dir, "supervisor.json"), { force: true });
  await removeGuestLink(plan, id);
  await unmountDisk(dir);
}

/** The supervisor says itself who it is before it boots the guest, so that no guest runs unknown to us. */
async function supervise(dir: string, cgroups: string[]): Promise<void> {
  const log = await open(consoleLog(dir), "a", 0o600);
  const script = join(import.meta.dirname, "supervise.sh");
  const child = spawn("bash", [script, dir, ...cgroups], {
    cwd: "/",
    detached: true,
    stdio: ["ignore", log.fd, log.fd],
  });
  await new Promise<void>((resolve, reject) => {
    child.on("error", reject);
    child.on("spawn", resolve);
  });
  child.unref();
  await log.close();
  const known = async () => child.exitCode !== null || (await readIdentity(dir)) !== undefined;
  await waitUntil(known, 10, 5);
}

async function readIdentity(dir: string) {
  const text = await ifExists(readFile(join(dir, "supervisor.json"), "utf8"));
  if (text === undefined) return undefined;
  const identity = processIdentity.parse(JSON.parse(text));
  return isAlive(identity) ? identity : undefined;
}

/** A colon separates source and target. */
const escapeBind = (path: string) => path.replace(/[\\:]/g, "\\$&");
