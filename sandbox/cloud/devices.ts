import { mkdir, rm, stat, symlink } from "node:fs/promises";
import { join } from "node:path";
import { inGuest } from "./shell.ts";

/** A block device of the machine and its name in the guest ("sda"), with the name by which it is looked up. */
export interface Device {
  host: string;
  name: string;
  id: string;
}

/** DigitalOcean attaches up to 15 volumes. */
export const deviceNames = [..."abcdefghijklmno"].map((letter) => `sd${letter}`);

/** Below /dev/disk/by-id, as the virtual disk's own name makes udev do it. */
export const deviceId = (volumeName: string) => `scsi-0DO_Volume_${volumeName}`;

/** The guest sees this folder as /dev/disk: what changes in it shows at once. */
export const diskFolder = (guestDir: string) => join(guestDir, "disk");

/** Makes the folder hold these devices and no others. */
export async function linkDevices(guestDir: string, devices: Device[]): Promise<void> {
  const folder = join(diskFolder(guestDir), "by-id");
  await mkdir(diskFolder(guestDir), { recursive: true });
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder);
  for (const device of devices) await symlink(`../../${device.name}`, join(folder, device.id));
}

/** Makes the block device in a running guest. */
export async function plugIn(dir: string, guestId: number, device: Device): Promise<void> {
  const { rdev } = await stat(device.host);
  const [major, minor] = [(rdev >> 8) & 0xfff, (rdev & 0xff) | ((rdev >> 12) & 0xfff00)];
  const node = `/dev/${device.name}`;
  const script = 'rm -f "$1"; mknod -m 660 "$1" b "$2" "$3"; chgrp disk "$1"';
  const argv = ["sh", "-euc", script, "sh", node, String(major), String(minor)];
  await inGuest(guestId, argv, { dir });
}

/**
 * Takes the block device from a running guest, also while it is mounted: its file system then fails every
 * access, as when a disk is pulled, and writes nothing more to what may soon be another guest's.
 */
export async function pullOut(dir: string, guestId: number, name: string): Promise<void> {
  await inGuest(guestId, ["python3", "-", `/dev/${name}`], { dir, input: pullOutScript });
}

const pullOutScript = `
import fcntl, os, struct, subprocess, sys

node = sys.argv[1]
SHUTDOWN_FILE_SYSTEM = 0x8004587D  # linux/fs.h: FS_IOC_SHUTDOWN; 0 writes out what is pending first
device = os.stat(node).st_rdev
targets = []
for line in open("/proc/self/mountinfo"):
    fields = line.split()
    if fields[2] == f"{os.major(device)}:{os.minor(device)}":
        targets.append(fields[4].encode().decode("unicode_escape"))
for target in reversed(targets):
    folder = os.open(target, os.O_RDONLY)
    fcntl.ioctl(folder, SHUTDOWN_FILE_SYSTEM, struct.pack("I", 0))
    os.close(folder)
    subprocess.run(["umount", "--lazy", target], check=True)
if os.path.ismount(node) or any(line.split()[4] == node for line in open("/proc/self/mountinfo")):
    subprocess.run(["umount", "--lazy", node], check=True)
os.remove(node)
`;
