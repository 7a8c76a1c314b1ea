import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { paths } from "../paths.ts";
import { killCgroup } from "./cgroups.ts";
import { serially } from "./command.ts";
import { type Device, deviceId, deviceNames, linkDevices, plugIn, pullOut } from "./devices.ts";
import { removeDisk } from "./disk.ts";
import { dnsGuest, dnsGuestId, reloadZones, untilServing, writeZones } from "./dns-guest.ts";
import { ruleset } from "./firewall.ts";
import * as guests from "./guests.ts";
import { requireHostCommands } from "./host.ts";
import type { FirewallRules, GuestSpec, Hypervisor, VolumeSpec, Zone } from "./hypervisor.ts";
import { ensureImage, imagePath } from "./image.ts";
import { MirrorRelay } from "./mirror-relay.ts";
import {
  addressesOf,
  chooseNumber,
  ensureNetwork,
  inNamespace,
  maximumIndex,
  maximumReserved,
  networkStands,
  type Plan,
  planFor,
  removeNetwork,
  reservedIp,
  takenNumbers,
} from "./network.ts";
import { listenInNamespace } from "./relay-listener.ts";
import { type GuestRecord, type SandboxRecord, State, type VolumeRecord } from "./state.ts";
import * as volumes from "./volumes.ts";

export interface NspawnOptions {
  /** The state folder; each has a sandbox of its own, with its own network. */
  dir?: string;
  /** Gets a line for each step of a long work. */
  report?: (line: string) => void;
}

/** Guests by systemd-nspawn in a network namespace of the sandbox's own. */
export class NspawnHypervisor implements Hypervisor {
  readonly #state: State;
  readonly #report: (line: string) => void;
  readonly #inOrder = { firewall: serially(), record: serially() };
  readonly #inOrderOf = new Map<number, ReturnType<typeof serially>>();
  #relay: MirrorRelay | undefined;

  constructor(options: NspawnOptions = {}) {
    this.#state = new State(options.dir ?? paths.cloud);
    this.#report = options.report ?? (() => {});
  }

  /** Addresses of the sandbox; chosen at the first call and the same ever after. */
  async plan(): Promise<Plan> {
    return planFor(this.#state.dir, (await this.#sandbox()).number);
  }

  async start(): Promise<void> {
    await requireHostCommands();
    await ensureImage(this.#report);
    await mkdir(this.#state.dir, { recursive: true, mode: 0o700 });
    await this.#clearLeftovers(await this.plan());
    const plan = await this.#freePlan();
    await ensureNetwork(plan);
    await this.#startRelay(plan);
    await this.#startDns(plan);
    const droplets = (await this.#state.guests()).filter((guest) => guest.id !== dnsGuestId);
    const wanted: GuestRecord[] = [];
    for (const guest of droplets) if (await this.#shouldBeOn(guest)) wanted.push(guest);
    await Promise.all(wanted.map((guest) => this.#boot(guest)));
  }

  async stop(): Promise<void> {
    const plan = await this.plan();
    const ids = await this.#state.guestIds();
    await Promise.all(ids.map((id) => this.#stopGuest(plan, id)));
    for (const volume of await this.#state.volumes()) {
      await volumes.detachLoop(this.#state.volumeFile(volume.id));
    }
    await this.close();
    await removeNetwork(plan);
    await killCgroup(plan.namespace);
  }

  /** Lets go of what this process holds; guests go on, and another process's start() takes over. */
  async close(): Promise<void> {
    await this.#relay?.close();
    this.#relay = undefined;
  }

  /** Whether a guest is on; it may have powered itself off. */
  async isOn(id: number): Promise<boolean> {
    return guests.isOn(this.#state.guestDir(id));
  }

  async createGuest(spec: GuestSpec): Promise<void> {
    const guest = await recordOf(spec);
    if (await this.#state.guest(spec.id)) throw new Error(`There is a guest ${spec.id} already.`);
    try {
      await this.#state.saveGuest(guest);
      await this.#boot(guest);
    } catch (error) {
      await this.destroyGuest(spec.id);
      throw error;
    }
  }

  async destroyGuest(id: number): Promise<void> {
    const plan = await this.plan();
    await this.#guestInOrder(id, async () => {
      const dir = this.#state.guestDir(id);
      await guests.pullPlug(plan, dir, id);
      for (const volume of await this.#volumesOf(id)) await this.#release(volume);
      await removeDisk(dir);
      await rm(dir, { recursive: true, force: true });
    });
    await this.#forgetReserved(id);
    await this.#applyFirewall();
  }

  async powerOn(id: number): Promise<void> {
    const guest = await this.#setPower(id, "on");
    if (!(await this.isOn(id))) await this.#boot(guest);
  }

  async powerOff(id: number, how: "graceful" | "hard"): Promise<void> {
    await this.#setPower(id, "off");
    const plan = await this.plan();
    const end = how === "graceful" ? guests.shutDown : guests.pullPlug;
    await this.#guestInOrder(id, () => end(plan, this.#state.guestDir(id), id));
  }

  async rebuildGuest(id: number, imageSlug: string): Promise<void> {
    const guest = await this.#guest(id);
    const image = await imageOf(imageSlug);
    const plan = await this.plan();
    const dir = this.#state.guestDir(id);
    await this.#guestInOrder(id, async () => {
      await guests.pullPlug(plan, dir, id);
      await removeDisk(dir);
    });
    const rebuilt: GuestRecord = { ...guest, image, power: "on" };
    await this.#state.saveGuest(rebuilt);
    await this.#boot(rebuilt);
  }

  async setFirewall(guestId: number, rules: FirewallRules | null): Promise<void> {
    await this.#guestInOrder(guestId, async () => {
      await this.#state.saveGuest({ ...(await this.#guest(guestId)), rules });
    });
    await this.#applyFirewall();
  }

  async createVolume(spec: VolumeSpec): Promise<void> {
    await volumes.makeVolumeFile(this.#state.volumeFile(spec.id), spec);
    const { id, name, gigabytes } = spec;
    await this.#state.saveVolume({ id, name, gigabytes, guest: null, device: "" });
  }

  async destroyVolume(id: string): Promise<void> {
    if (await this.#state.volume(id)) await this.detachVolume(id);
    await this.#state.removeVolume(id);
  }

  async resizeVolume(id: string, gigabytes: number): Promise<void> {
    const volume = await this.#volume(id);
    await volumes.resizeVolumeFile(this.#state.volumeFile(id), gigabytes);
    await this.#state.saveVolume({ ...volume, gigabytes });
  }

  async attachVolume(id: string, guestId: number): Promise<void> {
    await this.#guestInOrder(guestId, async () => {
      const guest = await this.#guest(guestId);
      const volume = await this.#volume(id);
      if (volume.guest === guestId) return;
      if (volume.guest !== null) {
        throw new Error(`Volume ${volume.name} is at guest ${volume.guest}.`);
      }
      const taken = (await this.#volumesOf(guestId)).map((other) => other.device);
      const device = deviceNames.find((name) => !taken.includes(name));
      if (!device) throw new Error(`Guest ${guest.name} has as many volumes as it can.`);
      await this.#state.saveVolume({ ...volume, guest: guestId, device });
      const devices = await this.#updateDevices(guest);
      const added = devices.find((candidate) => candidate.name === device);
      if (added && (await this.isOn(guestId))) await plugIn(this.#state.dir, guestId, added);
    });
  }

  async detachVolume(id: string): Promise<void> {
    const { guest: guestId } = await this.#volume(id);
    if (guestId === null) return;
    await this.#guestInOrder(guestId, async () => {
      const volume = await this.#volume(id);
      if (await this.isOn(guestId)) await pullOut(this.#state.dir, guestId, volume.device);
      await this.#release(volume);
      const guest = await this.#state.guest(guestId);
      if (guest) await this.#updateDevices(guest);
    });
  }

  async assignReservedIp(ip: string, guestId: number | null): Promise<void> {
    await this.#changeSandbox((sandbox) => {
      delete sandbox.reserved[ip];
      if (guestId !== null) sandbox.reserved[ip] = guestId;
    });
    await this.#applyFirewall();
  }

  async setZones(zones: Zone[]): Promise<void> {
    await this.#changeSandbox((sandbox) => {
      sandbox.zones = zones;
    });
    const plan = await this.plan();
    await this.#guestInOrder(dnsGuestId, async () => {
      const dir = this.#state.guestDir(dnsGuestId);
      if (!(await guests.isOn(dir))) return; // start() writes them before it boots the server
      const changed = await writeZones(join(dir, "root"), plan, zones);
      await reloadZones(this.#state.dir, changed);
    });
  }

  async allocateAddresses(): Promise<{ ipv4: string; ipv4Private: string; ipv6: string }> {
    const used = new Set((await this.#state.guests()).flatMap((guest) => guest.ipv4));
    const plan = await this.plan();
    const sandbox = await this.#changeSandbox((record) => {
      do record.lastIndex = (record.lastIndex % maximumIndex) + 1;
      while (used.has(addressesOf(plan, record.lastIndex).ipv4));
    });
    return addressesOf(plan, sandbox.lastIndex);
  }

  async allocateReservedIp(): Promise<string> {
    const plan = await this.plan();
    const sandbox = await this.#changeSandbox((record) => {
      record.lastReserved = (record.lastReserved % maximumReserved) + 1;
    });
    return reservedIp(plan, sandbox.lastReserved);
  }

  /** Another sandbox, or the machine itself, may have taken our addresses while we were stopped. */
  async #freePlan(): Promise<Plan> {
    const plan = await this.plan();
    if (await networkStands(plan)) return plan;
    await removeNetwork(plan);
    const taken = await takenNumbers();
    if (!taken(plan.number)) return plan;
    const droplets = (await this.#state.guestIds()).filter((id) => id !== dnsGuestId);
    const { lastReserved } = await this.#sandbox();
    if (droplets.length > 0 || lastReserved > 0) {
      throw new Error(
        `${plan.ipv4Range}, the network of this sandbox's droplets, has since been taken on this machine ` +
          "(ip route): stop the other sandbox or network, or destroy the droplets.",
      );
    }
    const number = await chooseNumber();
    await this.#changeSandbox((record) => Object.assign(record, { number, lastIndex: 0 }));
    return this.plan();
  }

  /**
   * Guests that still run are ours again, unless their network is gone; of the others, what a crash left on the
   * machine goes.
   */
  async #clearLeftovers(plan: Plan): Promise<void> {
    const adoptable = await networkStands(plan);
    for (const id of await this.#state.guestIds()) {
      const dir = this.#state.guestDir(id);
      if (adoptable && (await guests.isOn(dir))) continue;
      await guests.pullPlug(plan, dir, id);
      if (!(await this.#state.guest(id))) await rm(dir, { recursive: true, force: true });
    }
  }

  async #startRelay(plan: Plan): Promise<void> {
    if (this.#relay) return;
    const relay = await MirrorRelay.create(paths.debs);
    await listenInNamespace(relay, plan.namespace, plan.gateway.ipv4);
    this.#relay = relay;
  }

  async #startDns(plan: Plan): Promise<void> {
    const guest = await dnsGuest(plan);
    const { zones } = await this.#sandbox();
    const dir = this.#state.guestDir(dnsGuestId);
    if (await this.isOn(dnsGuestId)) return this.setZones(zones);
    // Nothing on its disk is worth keeping, and the image may be a newer one.
    await removeDisk(dir);
    await this.#state.saveGuest(guest);
    await writeZones(await guests.prepareDisk(plan, dir, guest), plan, zones);
    await this.#boot(guest);
    await untilServing(plan, dir);
  }

  /** A guest that stop() ended goes on; one that powered itself off stays off. */
  async #shouldBeOn(guest: GuestRecord): Promise<boolean> {
    const dir = this.#state.guestDir(guest.id);
    if (guest.power === "off" || (await guests.isOn(dir))) return false;
    return !(await guests.poweredItselfOff(dir));
  }

  async #stopGuest(plan: Plan, id: number): Promise<void> {
    await this.#guestInOrder(id, async () => {
      const dir = this.#state.guestDir(id);
      const wasOn = await guests.isOn(dir);
      await guests.shutDown(plan, dir, id);
      if (wasOn) await guests.forgetEnd(dir);
    });
  }

  #boot(guest: GuestRecord): Promise<void> {
    return this.#guestInOrder(guest.id, async () => {
      const plan = await this.plan();
      await this.#applyFirewall();
      const devices = await this.#devicesOf(guest.id);
      await guests.boot(plan, this.#state.guestDir(guest.id), guest, devices);
    });
  }

  async #setPower(id: number, power: "on" | "off"): Promise<GuestRecord> {
    return this.#guestInOrder(id, async () => {
      const guest: GuestRecord = { ...(await this.#guest(id)), power };
      await this.#state.saveGuest(guest);
      return guest;
    });
  }

  async #applyFirewall(): Promise<void> {
    const plan = await this.plan();
    await this.#inOrder.firewall(async () => {
      const records = await this.#state.guests();
      const { reserved } = await this.#sandbox();
      const targets = Object.entries(reserved).flatMap(([ip, id]): [string, string][] => {
        const address = records.find((guest) => guest.id === id)?.ipv4[0];
        return address ? [[ip, address]] : [];
      });
      const text = ruleset(plan, records, new Map(targets));
      await inNamespace(plan.namespace, ["nft", "-f", "-"], text);
    });
  }

  async #volumesOf(guestId: number): Promise<VolumeRecord[]> {
    return (await this.#state.volumes()).filter((volume) => volume.guest === guestId);
  }

  async #devicesOf(guestId: number): Promise<Device[]> {
    const devices: Device[] = [];
    for (const volume of await this.#volumesOf(guestId)) {
      const host = await volumes.attachLoop(this.#state.volumeFile(volume.id));
      devices.push({ host, name: volume.device, id: deviceId(volume.name) });
    }
    return devices;
  }

  async #updateDevices(guest: GuestRecord): Promise<Device[]> {
    const dir = this.#state.guestDir(guest.id);
    const devices = await this.#devicesOf(guest.id);
    await linkDevices(dir, devices);
    await guests.writeBootCommand(await this.plan(), dir, guest, devices);
    return devices;
  }

  /** The volume is nobody's. */
  async #release(volume: VolumeRecord): Promise<void> {
    await volumes.detachLoop(this.#state.volumeFile(volume.id));
    await this.#state.saveVolume({ ...volume, guest: null, device: "" });
  }

  async #forgetReserved(guestId: number): Promise<void> {
    await this.#changeSandbox((sandbox) => {
      for (const [ip, id] of Object.entries(sandbox.reserved)) {
        if (id === guestId) delete sandbox.reserved[ip];
      }
    });
  }

  async #guest(id: number): Promise<GuestRecord> {
    const guest = await this.#state.guest(id);
    if (!guest) throw new Error(`There is no guest ${id}.`);
    return guest;
  }

  async #volume(id: string): Promise<VolumeRecord> {
    const volume = await this.#state.volume(id);
    if (!volume) throw new Error(`There is no volume ${id}.`);
    return volume;
  }

  /** Changes of one guest wait for each other. */
  #guestInOrder<T>(id: number, work: () => Promise<T>): Promise<T> {
    const order = this.#inOrderOf.get(id) ?? serially();
    this.#inOrderOf.set(id, order);
    return order(work);
  }

  #sandbox(): Promise<SandboxRecord> {
    return this.#changeSandbox(() => {});
  }

  #changeSandbox(change: (record: SandboxRecord) => void): Promise<SandboxRecord> {
    return this.#inOrder.record(async () => {
      const record = (await this.#state.sandbox()) ?? (await newSandbox());
      const before = JSON.stringify(record);
      change(record);
      if (JSON.stringify(record) !== before || !(await this.#state.sandbox())) {
        await this.#state.saveSandbox(record);
      }
      return record;
    });
  }
}

async function newSandbox(): Promise<SandboxRecord> {
  return { number: await chooseNumber(), lastIndex: 0, lastReserved: 0, reserved: {}, zones: [] };
}

async function recordOf(spec: GuestSpec): Promise<GuestRecord> {
  return {
    id: spec.id,
    name: spec.name,
    image: await imageOf(spec.imageSlug),
    seed: { userData: spec.userData, sshKeys: spec.sshKeys },
    ipv4: [spec.ipv4, spec.ipv4Private],
    ipv6: spec.ipv6 === null ? [] : [spec.ipv6],
    memoryMiB: spec.memoryMiB,
    power: "on",
    rules: null,
  };
}

async function imageOf(slug: string): Promise<string> {
  if (slug === "debian-13-x64") return imagePath("droplet");
  throw new Error(`The sandbox has no image "${slug}": it has debian-13-x64.`);
}
