import { createHash } from "node:crypto";
import {
  chmod,
  cp,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rename,
  rm,
  truncate,
  writeFile,
} from "node:fs/promises";
import { join, relative } from "node:path";
import { withLock } from "../lock.ts";
import { paths } from "../paths.ts";
import { mustRun } from "../process.ts";
import { command, succeeds } from "./command.ts";
import { requireHostCommands } from "./host.ts";
import { MirrorRelay } from "./mirror-relay.ts";
import { mountsBelow } from "./mounts.ts";

/** What is in DigitalOcean's Debian 13 and matters here. Whatever a server needs beyond it, it has to ask for. */
const guestPackages = [
  "apt",
  "ca-certificates",
  "cloud-init",
  "dbus",
  "e2fsprogs",
  "iproute2",
  "iputils-ping",
  "kmod",
  "less",
  "libpam-systemd",
  "netbase",
  "openssh-server",
  "procps",
  "python3",
  "sudo",
  "systemd",
  "systemd-sysv",
  "systemd-timesyncd",
  "udev",
  "util-linux",
  "vim-tiny",
];

/** What the sandbox's own DNS server has besides. */
const dnsPackages = ["knot", "unbound"];

const suites = [
  "deb http://deb.debian.org/debian trixie main",
  "deb http://deb.debian.org/debian trixie-updates main",
  "deb http://deb.debian.org/debian-security trixie-security main",
];

const tree = join(import.meta.dirname, "image");

const unfinished = "unfinished-";

export type ImageKind = "droplet" | "dns";

/** The root tree of an image of the present recipe, which is this file and the tree; guests mount it as the lower layer and never write to it. */
export async function imagePath(kind: ImageKind): Promise<string> {
  return join(paths.image, await imageKey(), kind);
}

/**
 * Makes the images unless they are there. Interrupted, it leaves nothing that a later call would take for
 * whole; two at once wait for each other.
 *
 * @param report Gets a line for each step.
 * @throws Where the machine lacks a command, or apt its mirror.
 */
export async function ensureImage(report: (line: string) => void): Promise<void> {
  const target = join(paths.image, await imageKey());
  if (await isThere(target)) return;
  await requireHostCommands();
  const wait = () => report("Another process makes the image: waiting for it.");
  await withLock(join(paths.image, "lock"), wait, async () => {
    if (await isThere(target)) return;
    await removeUnfinished();
    const building = await mkdtemp(join(paths.image, unfinished));
    await chmod(building, 0o755);
    await build(building, report);
    await rename(building, target);
  });
}

async function isThere(folder: string): Promise<boolean> {
  return (await readdir(folder).catch(() => [])).length > 0;
}

/** Through the relay, so that this machine's mirror and proxies serve and packages are kept for the next time. */
async function build(folder: string, report: (line: string) => void): Promise<void> {
  const relay = await MirrorRelay.create(paths.debs);
  try {
    const proxy = await listenOnLoopback(relay);
    const droplet = join(folder, "droplet");
    await bootstrap(droplet, proxy, report);
    report("Adding the DNS servers to a copy of the image.");
    const dns = join(folder, "dns");
    await command("cp", ["--archive", "--reflink=auto", droplet, dns]);
    await addDnsServers(dns, proxy);
    await Promise.all([finish(droplet), finish(dns)]);
  } finally {
    await relay.close();
  }
}

async function bootstrap(
  target: string,
  proxy: string,
  report: (line: string) => void,
): Promise<void> {
  const options = [
    "--variant=minbase",
    "--mode=root",
    "--format=directory",
    `--include=${guestPackages.join(",")}`,
    `--aptopt=Acquire::http::Proxy "${proxy}"`,
    "--skip=cleanup/apt/lists",
  ];
  await mustRun("mmdebstrap", [...options, "trixie", target, ...suites], {
    onLine: (line) => {
      const step = line.match(/^I: (.*)/)?.[1];
      if (step) report(step);
    },
  });
  await rm(join(target, "etc/apt/apt.conf.d/99mmdebstrap"), { force: true });
  await rm(join(target, "etc/apt/sources.list"), { force: true });
  await cp(tree, target, { recursive: true, verbatimSymlinks: true });
}

/** In the tree alone: services don't start in a chroot that says so. */
async function addDnsServers(root: string, proxy: string): Promise<void> {
  const policy = join(root, "usr/sbin/policy-rc.d");
  await writeFile(policy, "#!/bin/sh\nexit 101\n", { mode: 0o755 });
  const options = ["--yes", "--no-install-recommends", "-o", `Acquire::http::Proxy=${proxy}`];
  const environment = ["DEBIAN_FRONTEND=noninteractive", "PATH=/usr/sbin:/usr/bin:/sbin:/bin"];
  const install = ["apt-get", ...options, "install", ...dnsPackages];
  await mustRun("chroot", [root, "/usr/bin/env", "-i", ...environment, ...install]);
  await rm(policy);
  await command("systemctl", ["--root", root, "mask", "ssh.service"]);
  await writeFile(join(root, "etc/cloud/cloud-init.disabled"), "");
}

/** What makes one machine differ from another isn't part of an image. */
async function finish(root: string): Promise<void> {
  const ssh = join(root, "etc/ssh");
  const keys = (await readdir(ssh)).filter((name) => name.startsWith("ssh_host_"));
  for (const key of keys) await rm(join(ssh, key));
  await truncate(join(root, "etc/machine-id"));
  await rm(join(root, "etc/hostname"), { force: true });
  for (const folder of ["var/lib/apt/lists", "var/cache/apt/archives"]) {
    await rm(join(root, folder), { recursive: true, force: true });
    await mkdir(join(root, folder, "partial"), { recursive: true });
  }
  const mask = ["console-getty.service", "getty@tty1.service"];
  await command("systemctl", ["--root", root, "mask", ...mask]);
  // Else the first boot of each guest builds the linker's cache and the journal's catalog once more.
  for (const stamp of ["etc/.updated", "var/.updated"]) await writeFile(join(root, stamp), "");
  await command("touch", [join(root, "etc/.updated"), join(root, "var/.updated")]);
}

/** An address under which apt can use the relay as a proxy. */
async function listenOnLoopback(relay: MirrorRelay): Promise<string> {
  await new Promise<void>((resolve, reject) => {
    relay.server.once("error", reject);
    relay.server.listen(0, "127.0.0.1", resolve);
  });
  const address = relay.server.address();
  if (address === null || typeof address === "string") throw new Error("The relay has no port.");
  return `http://127.0.0.1:${address.port}`;
}

/** An interrupted build may have left mounts, and what is in them isn't ours to remove. */
async function removeUnfinished(): Promise<void> {
  const names = (await readdir(paths.image)).filter((name) => name.startsWith(unfinished));
  for (const folder of names.map((name) => join(paths.image, name))) {
    for (const mount of await mountsBelow(folder)) await succeeds("umount", [mount]);
    // A build whose starter was killed may still write to it: then the next time.
    await succeeds("rm", ["-rf", "--one-file-system", folder]);
  }
}

/** A changed recipe makes another image: it is this file and the tree beside it. */
async function imageKey(): Promise<string> {
  const entries = await readdir(tree, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile());
  const names = files.map((file) => join(file.parentPath, file.name)).sort();
  const hash = createHash("sha256");
  for (const name of [import.meta.filename, ...names]) {
    hash.update(`${relative(tree, name)}\0${await readFile(name, "utf8")}\0`);
  }
  return hash.digest("hex").slice(0, 12);
}
