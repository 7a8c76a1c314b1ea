import { z } from "zod";
import { Http, isNotFound, pause } from "./http.ts";
import type { Settings } from "./settings.ts";
import type { Action } from "./shapes.ts";
import * as shapes from "./shapes.ts";

/** Longest pause between two looks at something that is under way. */
const longestPauseMilliseconds = 500;
const firstPauseMilliseconds = 50;
/** As long as the real plugin waits for an action. */
const actionSeconds = 60 * 60;

/** Typed requests to API v2. Getters give `null` for 404. @throws ApiError */
export class Api extends Http {
  readonly sshKeys: Collection<shapes.SshKey>;
  readonly droplets: Collection<shapes.Droplet>;
  readonly firewalls: Collection<shapes.Firewall>;
  readonly domains: Collection<shapes.Domain>;
  readonly volumes: Collection<shapes.Volume>;
  readonly reservedIps: Collection<shapes.ReservedIp>;
  readonly tags: Collection<shapes.Tag>;

  constructor(settings: Settings, signal: AbortSignal) {
    super(settings, signal);
    this.sshKeys = new Collection(this, "v2/account/keys", "ssh_key", shapes.sshKey);
    this.droplets = new Collection(this, "v2/droplets", "droplet", shapes.droplet);
    this.firewalls = new Collection(this, "v2/firewalls", "firewall", shapes.firewall);
    this.domains = new Collection(this, "v2/domains", "domain", shapes.domain);
    this.volumes = new Collection(this, "v2/volumes", "volume", shapes.volume);
    this.reservedIps = new Collection(this, "v2/reserved_ips", "reserved_ip", shapes.reservedIp);
    this.tags = new Collection(this, "v2/tags", "tag", shapes.tag);
  }

  records(domain: string): Collection<shapes.DomainRecord> {
    const path = `v2/domains/${encodeURIComponent(domain)}/records`;
    return new Collection(this, path, "domain_record", shapes.domainRecord);
  }

  /** Starts an action on a droplet, a volume or a reserved address ("v2/droplets/1"). */
  async act(path: string, body: { type: string; [name: string]: unknown }): Promise<Action> {
    return unwrap("action", shapes.action, await this.send("POST", `${path}/actions`, body));
  }

  /** Waits for an action's end. @throws Error if it failed. */
  async finish(action: Action, path = "v2/actions"): Promise<void> {
    await this.poll(actionSeconds, async () => {
      const now = unwrap("action", shapes.action, await this.send("GET", `${path}/${action.id}`));
      if (now.status === "errored") {
        throw new Error("unexpected state 'errored', wanted target 'completed'");
      }
      return (now.completed_at ?? null) !== null || now.status === "completed" ? true : null;
    });
  }

  /** Whether an action is under way on a droplet. */
  async isBusy(dropletId: number): Promise<boolean> {
    const body = await this.send("GET", `v2/droplets/${dropletId}/actions?per_page=50`);
    const { actions } = z.object({ actions: z.array(shapes.action) }).parse(body);
    return actions.some(({ status }) => status !== "completed" && status !== "errored");
  }

  /** Looks until the probe gives something but `null`. @throws Error when the time is over. */
  async poll<Found>(seconds: number, probe: () => Promise<Found | null>): Promise<Found> {
    const end = Date.now() + seconds * 1000;
    for (
      let wait = firstPauseMilliseconds;
      ;
      wait = Math.min(wait * 1.5, longestPauseMilliseconds)
    ) {
      const found = await probe();
      if (found !== null) return found;
      if (Date.now() + wait > end) {
        throw new Error(`timeout while waiting for state to become ready (timeout: ${seconds}s)`);
      }
      await pause(wait, this.signal);
    }
  }
}

/** A kind of object under one path, wrapped in one name. */
class Collection<Shape> {
  readonly #api: Http;
  readonly #path: string;
  readonly #name: string;
  readonly #shape: z.ZodType<Shape>;

  constructor(api: Http, path: string, name: string, shape: z.ZodType<Shape>) {
    this.#api = api;
    this.#path = path;
    this.#name = name;
    this.#shape = shape;
  }

  path(id: string | number): string {
    return `${this.#path}/${encodeURIComponent(id)}`;
  }

  async create(body: unknown): Promise<Shape> {
    return unwrap(this.#name, this.#shape, await this.#api.send("POST", this.#path, body));
  }

  async get(id: string | number): Promise<Shape | null> {
    try {
      return unwrap(this.#name, this.#shape, await this.#api.send("GET", this.path(id)));
    } catch (error) {
      if (isNotFound(error)) return null;
      throw error;
    }
  }

  async replace(id: string | number, body: unknown): Promise<void> {
    await this.#api.send("PUT", this.path(id), body);
  }

  async delete(id: string | number): Promise<void> {
    await this.#api.send("DELETE", this.path(id));
  }
}

function unwrap<Shape>(name: string, shape: z.ZodType<Shape>, body: unknown): Shape {
  const parsed = z.object({ [name]: shape }).safeParse(body);
  if (!parsed.success) {
    throw new Error(`the API's answer is no ${name}:\n${z.prettifyError(parsed.error)}`);
  }
  return parsed.data[name] as Shape; // zod's type forgets the computed key
}
