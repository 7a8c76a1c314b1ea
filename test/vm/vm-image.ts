import { createHash } from "node:crypto";
import { Resolver } from "node:dns/promises";
import { copyFile, glob, mkdir, mkdtemp, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import ssh2 from "ssh2";
import { readRoleFolder } from "../../components/role.ts";
import { endpoint } from "../../sandbox/cloud/client.ts";
import { imagePath } from "../../sandbox/cloud/image.ts";
import { root, sandboxDir } from "../../sandbox/paths.ts";
import { mustRun, run } from "../../sandbox/process.ts";

/** What the kernel of a guest in a container can't be asked for is asked of a Debian kernel. */
const kernelPackages = ["linux-image-cloud-amd64", "initramfs-tools"];

/** The private key to log in with, and the public host key. */
export interface Keys {
  login: string;
  host: string;
}

/** The guests' image with a kernel, and the roles' packages, which would take minutes to install in emulation. */
export async function vmImage(): Promise<string> {
  const base = await imagePath("droplet");
  const packages = await rolePackages();
  const recipe = [base, await readFile(import.meta.filename, "utf8"), ...packages].join("\n");
  const key = createHash("sha256").update(recipe).digest("hex").slice(0, 12);
  const target = join(sandboxDir, "vm", key);
  if ((await run("test", ["-e", target])).code === 0) return target;
  await rm(join(sandboxDir, "vm"), { recursive: true, force: true });
  await mkdir(join(sandboxDir, "vm"), { recursive: true });
  const building = await mkdtemp(join(sandboxDir, "vm", "unfinished-"));
  await build(building, base, packages);
  await rename(building, target);
  return target;
}

async function rolePackages(): Promise<string[]> {
  const names: string[] = [];
  for await (const file of glob("files/*/role.yaml", { cwd: root }))
    names.push(file.split("/")[1] ?? "");
  return [...new Set(names.flatMap((name) => readRoleFolder(name).manifest.packages))].sort();
}

async function build(folder: string, base: string, packages: string[]): Promise<void> {
  const cloud = await endpoint();
  if (!cloud) throw new Error("the cloud doesn't run");
  const tree = join(folder, "tree");
  await mustRun("cp", ["--archive", "--reflink=auto", base, tree]);
  const resolver = new Resolver();
  resolver.setServers([cloud.resolverAddress]);
  const [mirror] = await resolver.resolve4("deb.debian.org");
  const policy = join(tree, "usr/sbin/policy-rc.d");
  await writeFile(policy, "#!/bin/sh\nexit 101\n", { mode: 0o755 });
  const apt = `apt-get -q -y -o Acquire::http::Proxy=http://${mirror}`;
  const script = [
    "echo 'postfix postfix/main_mailer_type select No configuration' | debconf-set-selections",
    `${apt} update`,
    `${apt} --no-install-recommends install ${[...kernelPackages, ...packages].join(" ")}`,
    "apt-get clean",
    "systemctl disable postfix dovecot",
  ].join(" && ");
  const environment = ["DEBIAN_FRONTEND=noninteractive", "PATH=/usr/sbin:/usr/bin:/sbin:/bin"];
  await mustRun("chroot", [tree, "/usr/bin/env", "-i", ...environment, "sh", "-c", script]);
  await rm(policy);
  const keys = await configure(tree, cloud.resolverAddress);
  await writeFile(join(folder, "keys.json"), JSON.stringify(keys), { mode: 0o600 });
  await mustRun("mkfs.ext4", ["-q", "-L", "root", "-d", tree, join(folder, "root.img"), "8G"]);
  for await (const name of glob("{vmlinuz,initrd.img}-*", { cwd: join(tree, "boot") }))
    await copyFile(join(tree, "boot", name), join(folder, name.replace(/(\.img)?-.*/, "")));
  await rm(tree, { recursive: true });
}

/** What cloud-init does elsewhere: an address, and keys for SSH in both directions. */
async function configure(tree: string, resolver: string): Promise<Keys> {
  const login = ssh2.utils.generateKeyPairSync("ed25519");
  const host = ssh2.utils.generateKeyPairSync("ed25519");
  const network = "[Match]\nName=e*\n[Network]\nAddress=10.0.2.15/24\nGateway=10.0.2.2\n";
  await mkdir(join(tree, "root/.ssh"), { recursive: true, mode: 0o700 });
  await writeFile(join(tree, "root/.ssh/authorized_keys"), `${login.public}\n`, { mode: 0o600 });
  await writeFile(join(tree, "etc/ssh/ssh_host_ed25519_key"), host.private, { mode: 0o600 });
  await writeFile(join(tree, "etc/ssh/ssh_host_ed25519_key.pub"), `${host.public}\n`);
  await writeFile(join(tree, "etc/systemd/network/10-vm.network"), network);
  await writeFile(join(tree, "etc/hostname"), "vm\n");
  await writeFile(join(tree, "etc/resolv.conf"), `nameserver ${resolver}\n`);
  await writeFile(join(tree, "etc/cloud/cloud-init.disabled"), "");
  await mustRun("systemctl", ["--root", tree, "enable", "systemd-networkd.service"]);
  return { login: login.private, host: host.public };
}
