import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { paths } from "../paths.ts";
import { killCgroup } from "./cgroups.ts";
import { serially } from "./command.ts";
import { linkDevices, plugIn, pullOut } from "./devices.ts";
import { removeDisk } from "./disk.ts";
import { dnsGuest, dnsGuestId, dnsServes, reloadZones, writeZones } from "./dns-guest.ts";
import { ruleset } from "./firewall.ts";
import { prepareDisk } from "./first-boot.ts";
import * as guests from "./guests.ts";
import { requireHostCommands } from "./host.ts";
import type { FirewallRules, GuestSpec, Hypervisor, VolumeSpec, Zone } from "./hypervisor.ts";
import { ensureImage, imagePath } from "./image.ts";
import { Ledger } from "./ledger.ts";
import { MirrorRelay } from "./mirror-relay.ts";
import {
  chooseNumber,
  ensureNetwork,
  inNamespace,
  networkStands,
  type Plan,
  removeNetwork,
  takenNumbers,
} from "./network.ts";
import { removeOldImages } from "./old-images.ts";
import { listenInNamespace } from "./relay-listener.ts";
import { type GuestRecord, State } from "./state.ts";
import { Volumes } from "./volumes.ts";

export interface NspawnOptions {
  /** The state folder; each has a sandbox of its own, with its own network. */
  dir?: string;
  /** Gets a line for each step of a long work. */
  report?: (line: string) => void;
}

/** Guests by systemd-nspawn in a network namespace of the sandbox's own. */
export class NspawnHypervisor implements Hypervisor {
  readonly #state: State;
  readonly #ledger: Ledger;
  readonly #volumes: Volumes;
  readonly #report: (line: string) => void;
  readonly #filterInOrder = serially();
  readonly #guestsInOrder = new Map<number, ReturnType<typeof serially>>();
  #relay: MirrorRelay | undefined;

  constructor(options: NspawnOptions = {}) {
    this.#state = new State(options.dir ?? paths.cloud);
    this.#ledger = new Ledger(this.#state);
    this.#volumes = new Volumes(this.#state);
    this.#report = options.report ?? (() => {});
  }

  /** The sandbox's addresses. */
  plan(): Promise<Plan> {
    return this.#ledger.plan();
  }

  async start(): Promise<void> {
    await requireHostCommands();
    await ensureImage(this.#report);
    await mkdir(this.#state.dir, { recursive: true, mode: 0o700 });
    await this.#clearLeftovers();
    await this.#settleOnNetwork();
    await this.#startRelay();
    await this.#startDns();
    const wanted: GuestRecord[] = [];
    for (const guest of await this.#state.guests()) {
      if (await this.#shouldBoot(guest)) wanted.push(guest);
    }
    await Promise.all(wanted.map((guest) => this.#boot(guest.id)));
    await removeOldImages();
  }

  async stop(): Promise<void> {
    if (!(await this.#state.sandbox())) return;
    const plan = await this.plan();
    const ids = await this.#state.guestIds();
    await Promise.all(ids.map((id) => this.#stopGuest(plan, id)));
    await this.#volumes.detachAll();
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
      await this.#boot(spec.id);
    } catch (error) {
      await this.destroyGuest(spec.id);
      throw error;
    }
  }

  async destroyGuest(id: number): Promise<void> {
    const plan = await this.plan();
    await this.#inOrder(id, async () => {
      const dir = this.#state.guestDir(id);
      await guests.pullPlug(plan, dir, id);
      for (const volume of await this.#volumes.of(id)) await this.#volumes.release(volume);
      await removeDisk(dir);
      await rm(dir, { recursive: true, force: true });
    });
    await this.#ledger.forgetGuest(id);
    await this.#applyFilter();
  }

  async powerOn(id: number): Promise<void> {
    await this.#changeGuest(id, { power: "on" });
    await this.#boot(id);
  }

  async powerOff(id: number, how: "graceful" | "hard"): Promise<void> {
    await this.#changeGuest(id, { power: "off" });
    const plan = await this.plan();
    const end = how === "graceful" ? guests.shutDown : guests.pullPlug;
    await this.#inOrder(id, () => end(plan, this.#state.guestDir(id), id));
  }

  async rebuildGuest(id: number, imageSlug: string): Promise<void> {
    await this.#changeGuest(id, { image: await imageOf(imageSlug), power: "on" });
    const plan = await this.plan();
    await this.#inOrder(id, async () => {
      await guests.pullPlug(plan, this.#state.guestDir(id), id);
      await removeDisk(this.#state.guestDir(id));
    });
    await this.#boot(id);
  }

  async setFirewall(guestId: number, rules: FirewallRules | null): Promise<void> {
    await this.#changeGuest(guestId, { rules });
    await this.#applyFilter();
  }

  createVolume(spec: VolumeSpec): Promise<void> {
    return this.#volumes.create(spec);
  }

  async destroyVolume(id: string): Promise<void> {
    if (await this.#state.volume(id)) await this.detachVolume(id);
    await this.#volumes.destroy(id);
  }

  resizeVolume(id: string, gigabytes: number): Promise<void> {
    return this.#volumes.resize(id, gigabytes);
  }

  async attachVolume(id: string, guestId: number): Promise<void> {
    await this.#inOrder(guestId, async () => {
      const guest = await this.#guest(guestId);
      if ((await this.#volumes.get(id)).guest === guestId) return;
      const device = await this.#volumes.claim(id, guestId);
      await this.#updateDevices(guest);
      if (await this.isOn(guestId)) await plugIn(this.#state.dir, guestId, device);
    });
  }

  async detachVolume(id: string): Promise<void> {
    const { guest: guestId } = await this.#volumes.get(id);
    if (guestId === null) return;
    await this.#inOrder(guestId, async () => {
      const volume = await this.#volumes.get(id);
      if (volume.guest !== guestId) return;
      if (await this.isOn(guestId)) await pullOut(this.#state.dir, guestId, volume.device);
      await this.#volumes.release(volume);
      await this.#updateDevices(await this.#guest(guestId));
    });
  }

  async assignReservedIp(ip: string, guestId: number | null): Promise<void> {
    await this.#ledger.assignReservedIp(ip, guestId);
    await this.#applyFilter();
  }

  async setZones(zones: Zone[]): Promise<void> {
    await this.#ledger.setZones(zones);
    const plan = await this.plan();
    await this.#inOrder(dnsGuestId, async () => {
      const dir = this.#state.guestDir(dnsGuestId);
      if (!(await guests.isOn(dir))) return; // start() writes them before it boots the server
      const changed = await writeZones(join(dir, "root"), plan, zones);
      await reloadZones(this.#state.dir, changed);
    });
  }

  allocateAddresses(): Promise<{ ipv4: string; ipv4Private: string; ipv6: string }> {
    return this.#ledger.allocateAddresses();
  }

  allocateReservedIp(): Promise<string> {
    return this.#ledger.allocateReservedIp();
  }

  /**
   * Guests that still run are ours again, unless their network is gone; of the others, what a crash left on the
   * machine goes.
   */
  async #clearLeftovers(): Promise<void> {
    const plan = await this.plan();
    const adoptable = await networkStands(plan);
    for (const id of await this.#state.guestIds()) {
      const dir = this.#state.guestDir(id);
      if (adoptable && (await guests.isOn(dir))) continue;
      await guests.pullPlug(plan, dir, id);
      if (!(await this.#state.guest(id))) await rm(dir, { recursive: true, force: true });
    }
  }

  /** Another sandbox, or the machine itself, may have taken our addresses while we were stopped. */
  async #settleOnNetwork(): Promise<void> {
    const plan = await this.plan();
    if (await networkStands(plan)) return;
    await removeNetwork(plan);
    if ((await takenNumbers())(plan.number)) {
      const droplets = (await this.#state.guestIds()).filter((id) => id !== dnsGuestId);
      if (droplets.length > 0 || (await this.#ledger.read()).lastReserved > 0) {
        throw new Error(
          `${plan.ipv4Range}, the network of this sandbox's droplets, has since been taken on this machine ` +
            "(ip route): stop the other sandbox or network, or destroy the droplets.",
        );
      }
      await this.#ledger.moveTo(await chooseNumber());
    }
    await ensureNetwork(await this.plan());
  }

  async #startRelay(): Promise<void> {
    if (this.#relay) return;
    const { namespace, gateway } = await this.plan();
    const relay = await MirrorRelay.create(paths.debs);
    await listenInNamespace(relay.server, namespace, gateway.ipv4, 80);
    this.#relay = relay;
  }

  async #startDns(): Promise<void> {
    const plan = await this.plan();
    const { zones } = await this.#ledger.read();
    if (await this.isOn(dnsGuestId)) {
      await this.#applyFilter();
      return this.setZones(zones);
    }
    // Nothing on its disk is worth keeping, and the image may be a newer one.
    const dir = this.#state.guestDir(dnsGuestId);
    await removeDisk(dir);
    const guest = await dnsGuest(plan);
    await this.#state.saveGuest(guest);
    await writeZones(await prepareDisk(plan, dir, guest), plan, zones);
    await this.#boot(dnsGuestId);
  }

  /** A guest that stop() ended goes on; one that powered itself off stays off. */
  async #shouldBoot(guest: GuestRecord): Promise<boolean> {
    const dir = this.#state.guestDir(guest.id);
    if (guest.power === "off" || (await guests.isOn(dir))) return false;
    return !(await guests.poweredItselfOff(dir));
  }

  /** No error where it is on. */
  #boot(id: number): Promise<void> {
    return this.#inOrder(id, async () => {
      if (await this.isOn(id)) return;
      const [guest, plan] = [await this.#guest(id), await this.plan()];
      const dir = this.#state.guestDir(id);
      await this.#applyFilter();
      await guests.powerOn(plan, dir, guest, await this.#volumes.devicesOf(id));
      const isUp = () => (id === dnsGuestId ? dnsServes(plan, dir) : guests.listens(dir, 22));
      const upInTime = await guests.untilUp(dir, guest, isUp);
      if (!upInTime && id === dnsGuestId) {
        throw new Error(`The sandbox's DNS doesn't serve: see ${guests.consoleLog(dir)}.`);
      }
    });
  }

  async #stopGuest(plan: Plan, id: number): Promise<void> {
    await this.#inOrder(id, async () => {
      const dir = this.#state.guestDir(id);
      const wasOn = await guests.isOn(dir);
      await guests.shutDown(plan, dir, id);
      if (wasOn) await guests.forgetEnd(dir);
    });
  }

  async #applyFilter(): Promise<void> {
    const plan = await this.plan();
    await this.#filterInOrder(async () => {
      const records = await this.#state.guests();
      const { reserved } = await this.#ledger.read();
      const targets = Object.entries(reserved).flatMap(([ip, id]): [string, string][] => {
        const address = records.find((guest) => guest.id === id)?.ipv4[0];
        return address ? [[ip, address]] : [];
      });
      const text = ruleset(plan, records, new Map(targets));
      await inNamespace(plan.namespace, ["nft", "-f", "-"], text);
    });
  }

  async #updateDevices(guest: GuestRecord): Promise<void> {
    const dir = this.#state.guestDir(guest.id);
    const devices = await this.#volumes.devicesOf(guest.id);
    await linkDevices(dir, devices);
    await guests.writeBootCommand(await this.plan(), dir, guest, devices);
  }

  #changeGuest(id: number, change: Partial<GuestRecord>): Promise<void> {
    return this.#inOrder(id, async () => {
      await this.#state.saveGuest({ ...(await this.#guest(id)), ...change });
    });
  }

  async #guest(id: number): Promise<GuestRecord> {
    const guest = await this.#state.guest(id);
    if (!guest) throw new Error(`There is no guest ${id}.`);
    return guest;
  }

  /** Changes of one guest wait for each other. */
  #inOrder<T>(id: number, work: () => Promise<T>): Promise<T> {
    const order = this.#guestsInOrder.get(id) ?? serially();
    this.#guestsInOrder.set(id, order);
    return order(work);
  }
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
