import { access, constants } from "node:fs/promises";
import { join } from "node:path";

/** Commands of the machine that the sandbox uses, by the Debian package that has them. */
const needed: Record<string, string> = {
  mmdebstrap: "mmdebstrap",
  "systemd-nspawn": "systemd-container",
  ip: "iproute2",
  nft: "nftables",
  "mkfs.ext4": "e2fsprogs",
  losetup: "mount",
  nsenter: "util-linux",
};

/** @throws A sentence that names what is missing and what mends it. */
export async function requireHostCommands(): Promise<void> {
  if (process.platform !== "linux" || process.getuid?.() !== 0) {
    throw new Error("The sandbox's cloud boots guests: that takes Linux and root.");
  }
  const missing: string[] = [];
  for (const [name, debianPackage] of Object.entries(needed)) {
    if (!(await isInstalled(name))) missing.push(debianPackage);
  }
  if (missing.length === 0) return;
  const list = [...new Set(missing)].join(" ");
  throw new Error(`The sandbox's cloud needs Debian packages: apt-get install ${list}`);
}

/** Whether one of the machine's commands is there, also where only an administrator's PATH finds it. */
export async function isInstalled(name: string): Promise<boolean> {
  const folders = [...(process.env.PATH ?? "").split(":"), "/usr/sbin", "/sbin"];
  for (const folder of folders) {
    const found = await access(join(folder, name), constants.X_OK).then(
      () => true,
      () => false,
    );
    if (found) return true;
  }
  return false;
}
