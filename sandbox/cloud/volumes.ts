import { rm } from "node:fs/promises";
import { serially } from "./command.ts";
import { type Device, deviceId, deviceNames } from "./devices.ts";
import type { VolumeSpec } from "./hypervisor.ts";
import { attachLoop, detachLoop, makeVolumeFile, resizeVolumeFile } from "./loop.ts";
import type { State, VolumeRecord } from "./state.ts";

/** The volumes and whose they are; what a guest sees of them is in devices.ts. */
export class Volumes {
  readonly #state: State;
  readonly #inOrder = serially();

  constructor(state: State) {
    this.#state = state;
  }

  async create(spec: VolumeSpec): Promise<void> {
    const file = this.#state.volumeFile(spec.id);
    try {
      await makeVolumeFile(file, spec);
    } catch (error) {
      await rm(file, { force: true });
      throw error;
    }
    const { id, name, gigabytes } = spec;
    await this.#state.saveVolume({ id, name, gigabytes, guest: null, device: "" });
  }

  /** No error where there is none. */
  async destroy(id: string): Promise<void> {
    await this.#state.removeVolume(id);
  }

  async resize(id: string, gigabytes: number): Promise<void> {
    const volume = await this.get(id);
    await resizeVolumeFile(this.#state.volumeFile(id), gigabytes);
    await this.#state.saveVolume({ ...volume, gigabytes });
  }

  async get(id: string): Promise<VolumeRecord> {
    const volume = await this.#state.volume(id);
    if (!volume) throw new Error(`There is no volume ${id}.`);
    return volume;
  }

  async of(guestId: number): Promise<VolumeRecord[]> {
    return (await this.#state.volumes()).filter((volume) => volume.guest === guestId);
  }

  /** The guest's block devices, in the order of their names. */
  async devicesOf(guestId: number): Promise<Device[]> {
    const devices: Device[] = [];
    for (const volume of await this.of(guestId)) devices.push(await this.#deviceOf(volume));
    return devices.sort((one, other) => one.name.localeCompare(other.name));
  }

  /** Makes it the guest's, under the first free name. */
  claim(id: string, guestId: number): Promise<Device> {
    return this.#inOrder(async () => {
      const volume = await this.get(id);
      if (volume.guest !== null && volume.guest !== guestId) {
        throw new Error(`Volume ${volume.name} is at guest ${volume.guest}.`);
      }
      const taken = (await this.of(guestId)).map((other) => other.device);
      const device = volume.device || deviceNames.find((name) => !taken.includes(name));
      if (!device) throw new Error(`Guest ${guestId} has as many volumes as it can.`);
      const claimed = { ...volume, guest: guestId, device };
      await this.#state.saveVolume(claimed);
      return this.#deviceOf(claimed);
    });
  }

  /** Makes it nobody's. */
  async release(volume: VolumeRecord): Promise<void> {
    await detachLoop(this.#state.volumeFile(volume.id));
    await this.#state.saveVolume({ ...volume, guest: null, device: "" });
  }

  /** Takes every loop device away; whose the volumes are stays. */
  async detachAll(): Promise<void> {
    for (const { id } of await this.#state.volumes()) await detachLoop(this.#state.volumeFile(id));
  }

  async #deviceOf(volume: VolumeRecord): Promise<Device> {
    const host = await attachLoop(this.#state.volumeFile(volume.id));
    return { host, name: volume.device, id: deviceId(volume.name) };
  }
}
