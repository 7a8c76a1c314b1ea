import type { Hypervisor } from "../hypervisor.ts";
import { Actions } from "./actions.ts";
import { Coalescer } from "./coalescer.ts";
import { reason, unprocessable } from "./errors.ts";
import { isBehind, rulesFor } from "./firewall-rules.ts";
import type { Log } from "./log.ts";
import type { Action, Droplet, Firewall, State } from "./state.ts";
import type { Store } from "./store.ts";
import { zonesOf } from "./zones.ts";

/** What every route works with: the account's objects, the machine under them, and what ties both. */
export class Cloud {
  readonly store: Store;
  readonly hypervisor: Hypervisor;
  readonly log: Log;
  readonly actions: Actions;
  readonly #zones: Coalescer;
  readonly #firewalls: Coalescer;
  #publishedZones = "";
  readonly #appliedRules = new Map<number, string>();

  constructor(store: Store, hypervisor: Hypervisor, log: Log) {
    this.store = store;
    this.hypervisor = hypervisor;
    this.log = log;
    this.actions = new Actions(store, log);
    this.#zones = new Coalescer(() => this.#publishZones());
    this.#firewalls = new Coalescer(() => this.#applyFirewalls());
  }

  get state(): State {
    return this.store.state;
  }

  /** Tells the hypervisor what it forgets when it is started anew. */
  async restore(): Promise<void> {
    await Promise.all([this.publishZones(), this.applyFirewalls()]);
    for (const { ip, dropletId } of this.state.reservedIps) {
      if (dropletId !== null) await this.hypervisor.assignReservedIp(ip, dropletId);
    }
  }

  /** Makes the authoritative server answer as the state says; a no-op where it does already. */
  publishZones(): Promise<void> {
    return this.#zones.run();
  }

  /** Makes every guest's filter what the state says; guests whose rules are unchanged are left alone. */
  applyFirewalls(): Promise<void> {
    return this.#firewalls.run();
  }

  /**
   * Begins an action that has the droplet for itself until it ends.
   * Throws DigitalOcean's 422 while another one has it.
   */
  beginOn(
    droplet: Droplet,
    about: Pick<Action, "type" | "subject" | "resourceType" | "resourceId">,
    work: () => Promise<void>,
  ): Action {
    return this.actions.begin({ ...about, region: droplet.region }, this.claim(droplet, work));
  }

  /** Locks the droplet at once; the work returned unlocks it at its end. */
  claim<T>(droplet: Droplet, work: () => Promise<T>): () => Promise<T> {
    if (droplet.locked) throw unprocessable("Droplet already has a pending event.");
    droplet.locked = true;
    return async () => {
      try {
        return await work();
      } finally {
        droplet.locked = false;
      }
    };
  }

  async #publishZones(): Promise<void> {
    const zones = zonesOf(this.state);
    const text = JSON.stringify(zones);
    if (text === this.#publishedZones) return;
    await this.hypervisor.setZones(zones);
    this.#publishedZones = text;
  }

  async #applyFirewalls(): Promise<void> {
    const before = this.state.firewalls.map((firewall) => ({ firewall, seen: firewall.pending }));
    const failed = new Set<number>();
    for (const droplet of this.state.droplets.filter((one) => one.made)) {
      await this.#applyTo(droplet).catch((error: unknown) => {
        failed.add(droplet.id);
        this.log(`the firewall of droplet ${droplet.id} can't be set: ${reason(error)}`);
      });
    }
    for (const { firewall, seen } of before) this.#finish(firewall, seen, failed);
  }

  /** Takes the changes that this run has `seen` off the firewall's list, and says how it went. */
  #finish(firewall: Firewall, seen: Firewall["pending"], failed: Set<number>): void {
    firewall.pending = firewall.pending.filter((change) => !seen.includes(change));
    const members = this.state.droplets.filter((one) => isBehind(one, firewall));
    const touched = [...members.map((one) => one.id), ...seen.map((change) => change.dropletId)];
    if (touched.some((id) => failed.has(id))) firewall.status = "failed";
    else firewall.status = firewall.pending.length === 0 ? "succeeded" : "waiting";
  }

  async #applyTo(droplet: Droplet): Promise<void> {
    const rules = rulesFor(droplet, this.state);
    const text = JSON.stringify(rules);
    if ((this.#appliedRules.get(droplet.id) ?? "null") === text) return;
    await this.hypervisor.setFirewall(droplet.id, rules);
    this.#appliedRules.set(droplet.id, text);
  }

  /** A guest that is new or made anew has no filter in front of it. */
  forgetRules(dropletId: number): void {
    this.#appliedRules.delete(dropletId);
  }
}
