import type { GuestSpec, Hypervisor, VolumeSpec, Zone } from "../../sandbox/cloud/hypervisor.ts";

/** A machine under the API that only remembers what it was asked for; its calls can be made to fail. */
export class RememberingHypervisor implements Hypervisor {
  readonly guests = new Map<number, GuestSpec & { on: boolean }>();
  readonly volumes = new Map<string, VolumeSpec & { guest: number | null }>();
  readonly firewalls = new Map<number, unknown>();
  readonly reserved = new Map<string, number | null>();
  readonly calls: string[] = [];
  zones: Zone[] = [];
  /** Names of calls that reject. */
  readonly broken = new Set<string>();
  /** Awaited by every call that takes long on a real machine. */
  gate: Promise<void> = Promise.resolve();
  #next = 1;

  start = () => this.#note("start");
  stop = () => this.#note("stop");

  async createGuest(spec: GuestSpec) {
    await this.#slowly("createGuest", spec.id);
    this.guests.set(spec.id, { ...spec, on: true });
  }
  async destroyGuest(id: number) {
    await this.#slowly("destroyGuest", id);
    this.guests.delete(id);
  }
  async powerOn(id: number) {
    await this.#slowly("powerOn", id);
    this.#guest(id).on = true;
  }
  async powerOff(id: number, how: "graceful" | "hard") {
    await this.#slowly("powerOff", id, how);
    this.#guest(id).on = false;
  }
  async rebuildGuest(id: number, imageSlug: string) {
    await this.#slowly("rebuildGuest", id, imageSlug);
    this.#guest(id).imageSlug = imageSlug;
  }
  async setFirewall(guestId: number, rules: Parameters<Hypervisor["setFirewall"]>[1]) {
    await this.#note("setFirewall", guestId);
    this.firewalls.set(guestId, rules);
  }
  async createVolume(spec: VolumeSpec) {
    await this.#slowly("createVolume", spec.name);
    this.volumes.set(spec.id, { ...spec, guest: null });
  }
  async destroyVolume(id: string) {
    await this.#note("destroyVolume", id);
    this.volumes.delete(id);
  }
  async resizeVolume(id: string, gigabytes: number) {
    await this.#slowly("resizeVolume", id, gigabytes);
    this.#volume(id).gigabytes = gigabytes;
  }
  async attachVolume(id: string, guestId: number) {
    await this.#slowly("attachVolume", id, guestId);
    this.#volume(id).guest = guestId;
  }
  async detachVolume(id: string) {
    await this.#slowly("detachVolume", id);
    this.#volume(id).guest = null;
  }
  async assignReservedIp(ip: string, guestId: number | null) {
    await this.#slowly("assignReservedIp", ip, guestId);
    this.reserved.set(ip, guestId);
  }
  async setZones(zones: Zone[]) {
    await this.#note("setZones");
    this.zones = zones;
  }
  async allocateAddresses() {
    const index = this.#next++;
    return {
      ipv4: `10.64.16.${index}`,
      ipv4Private: `10.64.128.${index}`,
      ipv6: `fd12:3456:789a:1::${index.toString(16)}`,
    };
  }
  async allocateReservedIp() {
    return `10.64.240.${this.#next++}`;
  }

  /** Data of the records of that name and type, over all zones. */
  lookup(name: string, type: string): string[] {
    return this.zones
      .flatMap((zone) => zone.records)
      .filter((record) => record.name === name && record.type === type)
      .map((record) => record.data);
  }

  #guest(id: number) {
    const guest = this.guests.get(id);
    if (!guest) throw new Error(`no guest ${id}`);
    return guest;
  }
  #volume(id: string) {
    const volume = this.volumes.get(id);
    if (!volume) throw new Error(`no volume ${id}`);
    return volume;
  }
  async #slowly(...call: [string, ...unknown[]]) {
    await this.gate;
    await this.#note(...call);
  }
  async #note(...call: [string, ...unknown[]]) {
    this.calls.push(call.join(" "));
    if (this.broken.has(call[0])) throw new Error(`${call[0]} is broken`);
  }
}
