import { serially } from "./command.ts";
import type { Zone } from "./hypervisor.ts";
import {
  addressesOf,
  chooseNumber,
  maximumIndex,
  maximumReserved,
  type Plan,
  planFor,
  reservedIp,
} from "./network.ts";
import type { SandboxRecord, State } from "./state.ts";

/** What a sandbox has given out: its network, the droplets' addresses, the reserved ones, the zones. */
export class Ledger {
  readonly #state: State;
  readonly #inOrder = serially();

  constructor(state: State) {
    this.#state = state;
  }

  read(): Promise<SandboxRecord> {
    return this.#change(() => {});
  }

  /** The network is chosen at the first call and the same ever after. */
  async plan(): Promise<Plan> {
    return planFor(this.#state.dir, (await this.read()).number);
  }

  /** For a sandbox that has given no address out. */
  async moveTo(number: number): Promise<void> {
    await this.#change((record) => {
      record.number = number;
      record.lastIndex = 0;
    });
  }

  /** The addresses after the last ones given out, so that a droplet's are not another's soon after. */
  async allocateAddresses(): Promise<{ ipv4: string; ipv4Private: string; ipv6: string }> {
    const used = new Set((await this.#state.guests()).flatMap((guest) => guest.ipv4));
    const plan = await this.plan();
    const { lastIndex } = await this.#change((record) => {
      do record.lastIndex = (record.lastIndex % maximumIndex) + 1;
      while (used.has(addressesOf(plan, record.lastIndex).ipv4));
    });
    return addressesOf(plan, lastIndex);
  }

  async allocateReservedIp(): Promise<string> {
    const plan = await this.plan();
    const { lastReserved } = await this.#change((record) => {
      record.lastReserved = (record.lastReserved % maximumReserved) + 1;
    });
    return reservedIp(plan, lastReserved);
  }

  async assignReservedIp(ip: string, guestId: number | null): Promise<void> {
    await this.#change(({ reserved }) => {
      delete reserved[ip];
      if (guestId !== null) reserved[ip] = guestId;
    });
  }

  /** The reserved addresses of a guest that is no more lead nowhere. */
  async forgetGuest(guestId: number): Promise<void> {
    await this.#change(({ reserved }) => {
      for (const [ip, id] of Object.entries(reserved)) if (id === guestId) delete reserved[ip];
    });
  }

  async setZones(zones: Zone[]): Promise<void> {
    await this.#change((record) => {
      record.zones = zones;
    });
  }

  #change(change: (record: SandboxRecord) => void): Promise<SandboxRecord> {
    return this.#inOrder(async () => {
      const known = await this.#state.sandbox();
      const record = known ?? (await newSandbox());
      const before = known && JSON.stringify(known);
      change(record);
      if (JSON.stringify(record) !== before) await this.#state.saveSandbox(record);
      return record;
    });
  }
}

async function newSandbox(): Promise<SandboxRecord> {
  return { number: await chooseNumber(), lastIndex: 0, lastReserved: 0, reserved: {}, zones: [] };
}
