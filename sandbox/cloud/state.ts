import { mkdir, readdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { ifExists, writeFileAtomic } from "../files.ts";

const rules = z.object({
  inbound: z.array(
    z.object({
      protocol: z.enum(["tcp", "udp", "icmp"]),
      ports: z.string(),
      sources: z.array(z.string()),
    }),
  ),
  outbound: z.array(
    z.object({
      protocol: z.enum(["tcp", "udp", "icmp"]),
      ports: z.string(),
      destinations: z.array(z.string()),
    }),
  ),
});

const zone = z.object({
  name: z.string(),
  records: z.array(
    z.object({ name: z.string(), type: z.string(), ttl: z.number(), data: z.string() }),
  ),
});

const sandboxRecord = z.object({
  /** See Plan. */
  number: z.number(),
  lastIndex: z.number(),
  lastReserved: z.number(),
  /** Reserved addresses and the guests that have them. */
  reserved: z.record(z.string(), z.number()),
  zones: z.array(zone),
});
export type SandboxRecord = z.infer<typeof sandboxRecord>;

const guestRecord = z.object({
  id: z.number(),
  name: z.string(),
  /** The root tree that it started from. */
  image: z.string(),
  /** NoCloud's files; null for a guest without cloud-init. */
  seed: z.object({ userData: z.string(), sshKeys: z.array(z.string()) }).nullable(),
  ipv4: z.array(z.string()),
  ipv6: z.array(z.string()),
  memoryMiB: z.number(),
  /** As the owner wants it. The guest itself may have powered off. */
  power: z.enum(["on", "off"]),
  rules: rules.nullable(),
});
export type GuestRecord = z.infer<typeof guestRecord>;

const volumeRecord = z.object({
  id: z.string(),
  name: z.string(),
  gigabytes: z.number(),
  guest: z.number().nullable(),
  /** In the guest: "sda" is /dev/sda. "" while it is nowhere. */
  device: z.string(),
});
export type VolumeRecord = z.infer<typeof volumeRecord>;

/** The hypervisor's memory: a folder of small files, each written whole and for root alone. */
export class State {
  readonly dir: string;

  constructor(dir: string) {
    this.dir = dir;
  }

  sandbox(): Promise<SandboxRecord | undefined> {
    return read(join(this.dir, "hypervisor.json"), sandboxRecord);
  }

  saveSandbox(record: SandboxRecord): Promise<void> {
    return write(join(this.dir, "hypervisor.json"), record);
  }

  guestDir(id: number): string {
    return join(this.dir, "guests", String(id));
  }

  guest(id: number): Promise<GuestRecord | undefined> {
    return read(join(this.guestDir(id), "guest.json"), guestRecord);
  }

  async saveGuest(record: GuestRecord): Promise<void> {
    await mkdir(join(this.dir, "guests"), { recursive: true, mode: 0o700 });
    await write(join(this.guestDir(record.id), "guest.json"), record);
  }

  /** Also of those whose making was cut off before its record was written. */
  async guestIds(): Promise<number[]> {
    const names = await ifExists(readdir(join(this.dir, "guests")));
    return (names ?? []).map(Number).filter(Number.isInteger);
  }

  async guests(): Promise<GuestRecord[]> {
    const ids = await this.guestIds();
    const records = await Promise.all(ids.map((id) => this.guest(id)));
    return records.filter((record) => record !== undefined);
  }

  volumeFile(id: string): string {
    return join(this.dir, "volumes", `${id}.img`);
  }

  volume(id: string): Promise<VolumeRecord | undefined> {
    return read(join(this.dir, "volumes", `${id}.json`), volumeRecord);
  }

  saveVolume(record: VolumeRecord): Promise<void> {
    return write(join(this.dir, "volumes", `${record.id}.json`), record);
  }

  /** The record first: a file without one is nobody's. */
  async removeVolume(id: string): Promise<void> {
    await rm(join(this.dir, "volumes", `${id}.json`), { force: true });
    await rm(this.volumeFile(id), { force: true });
  }

  async volumes(): Promise<VolumeRecord[]> {
    const names = (await ifExists(readdir(join(this.dir, "volumes")))) ?? [];
    const ids = names.filter((name) => name.endsWith(".json")).map((name) => name.slice(0, -5));
    const records = await Promise.all(ids.map((id) => this.volume(id)));
    return records.filter((record) => record !== undefined);
  }
}

async function read<T>(file: string, schema: z.ZodType<T>): Promise<T | undefined> {
  const text = await ifExists(readFile(file, "utf8"));
  if (text === undefined) return undefined;
  const parsed = schema.safeParse(JSON.parse(text));
  if (parsed.success) return parsed.data;
  throw new Error(`${file} is not as this version writes it:\n${z.prettifyError(parsed.error)}`);
}

async function write(file: string, record: unknown): Promise<void> {
  await writeFileAtomic(file, `${JSON.stringify(record, null, 2)}\n`, 0o600);
}
