import type { Properties, UpdateRequest } from "../kit.ts";
import type { Api } from "./api.ts";
import { backupPolicy } from "./droplet-request.ts";
import { attachVolume, awaitDroplet, detachVolume } from "./droplet-state.ts";
import { step, text, texts } from "./rules.ts";
import type { Droplet } from "./shapes.ts";
import { changeTags } from "./tagging.ts";

type Change = UpdateRequest & { changed: (name: string) => boolean };

/** As long as the real plugin waits for each. */
const updateSeconds = 60 * 60;

const ipv6Warning =
  "Enabling IPv6 requires additional OS-level configuration: When enabling IPv6 on an existing " +
  "Droplet, additional OS-level configuration is required. For more info, see: \n" +
  "https://docs.digitalocean.com/products/networking/ipv6/how-to/enable/#on-existing-droplets";

/** Does to a droplet what differs between state and program, in the real plugin's order. */
export async function changeDroplet(api: Api, request: Change): Promise<void> {
  const change = new DropletChange(api, request);
  if (request.changed("size")) await change.resize();
  if (request.changed("name")) await change.rename();
  if (request.changed("backups")) await change.backups();
  if (request.changed("backupPolicy")) await change.backupPolicy();
  if (request.changed("privateNetworking")) await change.privateNetworking();
  if (request.changed("ipv6")) await change.ipv6();
  if (request.changed("tags")) {
    const resource = { id: request.id, type: "droplet" } as const;
    await changeTags(api, resource, request.oldState, request.news);
  }
  if (request.changed("volumeIds")) await change.volumes();
}

class DropletChange {
  readonly #api: Api;
  readonly #request: Change;
  readonly #id: string;
  readonly #news: Properties;

  constructor(api: Api, request: Change) {
    this.#api = api;
    this.#request = request;
    this.#id = request.id;
    this.#news = request.news;
  }

  async resize(): Promise<void> {
    await this.#powerOff();
    try {
      await step(`Error resizing droplet (${this.#id})`, () =>
        this.#actAndFinish({
          type: "resize",
          size: this.#news.size,
          disk: this.#news.resizeDisk !== false,
        }),
      );
    } catch (error) {
      await this.#powerOn("after failed resize");
      throw error;
    }
    await this.#powerOn("after resize");
  }

  async #powerOff(): Promise<void> {
    await step(`Error powering off droplet (${this.#id})`, async () => {
      try {
        await this.#act({ type: "power_off" });
      } catch (error) {
        const message = error instanceof Error ? error.message : "";
        if (!message.includes("Droplet is already powered off")) throw error;
      }
    });
    await this.#await("become powered off", ({ status }) => status === "off");
  }

  async #powerOn(when: string): Promise<void> {
    await step(`Error powering on droplet (${this.#id}) ${when}`, () =>
      this.#act({ type: "power_on" }),
    );
    await this.#await("become active", ({ status }) => status === "active");
  }

  async rename(): Promise<void> {
    const name = text(this.#news.name);
    await step(`Error renaming droplet (${this.#id})`, () => this.#act({ type: "rename", name }));
    await this.#await(`be named ${name}`, (droplet) => droplet.name === name);
  }

  async backups(): Promise<void> {
    const policy = backupPolicy(this.#news);
    if (this.#news.backups !== true) {
      await step(`Error disabling backups on droplet (${this.#id})`, () =>
        this.#actAndFinish({ type: "disable_backups" }),
      );
      return;
    }
    await step(`Error enabling backups on droplet (${this.#id})`, () =>
      this.#actAndFinish({ type: "enable_backups", backup_policy: policy }),
    );
  }

  async backupPolicy(): Promise<void> {
    const policy = backupPolicy(this.#news);
    if (policy === undefined) return;
    await step(`error changing backup policy on droplet (${this.#id})`, () =>
      this.#actAndFinish({ type: "change_backup_policy", backup_policy: policy }),
    );
  }

  /** There is no way to turn it off. */
  async privateNetworking(): Promise<void> {
    if (this.#news.privateNetworking !== true) return;
    await step(`Error enabling private networking for droplet (${this.#id})`, () =>
      this.#act({ type: "enable_private_networking" }),
    );
    await this.#await("have private networking", hasFeature("private_networking"));
  }

  /** Turning it off is a replacement. */
  async ipv6(): Promise<void> {
    if (this.#news.ipv6 !== true) return;
    await step(`Error turning on ipv6 for droplet (${this.#id})`, () =>
      this.#act({ type: "enable_ipv6" }),
    );
    await this.#await("have ipv6", hasFeature("ipv6"));
    this.#request.log("warning", ipv6Warning);
  }

  async volumes(): Promise<void> {
    const olds = texts(this.#request.oldState.volumeIds);
    const wanted = texts(this.#news.volumeIds);
    for (const id of wanted.filter((one) => !olds.includes(one))) {
      await attachVolume(this.#api, id, this.#id);
    }
    for (const id of olds.filter((one) => !wanted.includes(one))) {
      await detachVolume(this.#api, id, this.#id);
    }
  }

  #act(body: { type: string; [name: string]: unknown }) {
    return this.#api.act(this.#api.droplets.path(this.#id), body);
  }

  async #actAndFinish(body: { type: string; [name: string]: unknown }): Promise<void> {
    await this.#api.finish(await this.#act(body));
  }

  async #await(what: string, is: (droplet: Droplet) => boolean): Promise<void> {
    const seconds = this.#request.timeoutSeconds ?? updateSeconds;
    await step(`Error waiting for droplet (${this.#id}) to ${what}`, () =>
      awaitDroplet(this.#api, this.#id, { seconds, is, whenGone: "fail" }),
    );
  }
}

const hasFeature = (name: string) => (droplet: Droplet) =>
  droplet.features?.includes(name) ?? false;
