import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createAdaptorServer } from "@hono/node-server";
import { createApp } from "../../../sandbox/cloud/api/app.ts";
import { Cloud } from "../../../sandbox/cloud/api/cloud.ts";
import { Store } from "../../../sandbox/cloud/api/store.ts";
import { RememberingHypervisor } from "../remembering-hypervisor.ts";

const token = "dop_v1_0123456789abcdef";

/** The sandbox's own API in this process, over a machine that only remembers. */
export class Api {
  readonly machine = new RememberingHypervisor();
  /** "METHOD /path" of every request, in order. */
  readonly requests: string[] = [];
  /** Answers before the API does: each is used once, on the first request that it fits. */
  readonly answers: { request: RegExp; answer: () => Response }[] = [];
  readonly #server: ReturnType<typeof createAdaptorServer>;
  readonly #dir: string;
  readonly cloud: Cloud;
  url = "";

  private constructor(dir: string, cloud: (machine: RememberingHypervisor) => Cloud) {
    this.#dir = dir;
    this.cloud = cloud(this.machine);
    const app = createApp(this.cloud, token);
    this.#server = createAdaptorServer({
      fetch: (request: Request) => this.#intercepted(request) ?? app.fetch(request),
    });
  }

  static async start(): Promise<Api> {
    const dir = await mkdtemp(join(tmpdir(), "provider-digitalocean-"));
    const store = await Store.open(join(dir, "account.json"));
    const api = new Api(dir, (machine) => new Cloud(store, machine, () => {}));
    api.#server.listen(0, "127.0.0.1");
    await once(api.#server, "listening");
    const address = api.#server.address();
    api.url = `http://127.0.0.1:${typeof address === "object" ? address?.port : ""}`;
    return api;
  }

  /** What a plugin needs to reach it; retries come quickly. */
  get env(): NodeJS.ProcessEnv {
    return {
      DIGITALOCEAN_API_URL: this.url,
      DIGITALOCEAN_TOKEN: token,
      DIGITALOCEAN_HTTP_RETRY_WAIT_MIN: "0.01",
    };
  }

  #intercepted(request: Request): Response | undefined {
    const line = `${request.method} ${new URL(request.url).pathname}`;
    this.requests.push(line);
    const index = this.answers.findIndex((one) => one.request.test(line));
    if (index < 0) return undefined;
    const [found] = this.answers.splice(index, 1);
    return found?.answer();
  }

  /** The requests that some work sends. */
  async during(work: () => Promise<unknown>): Promise<string[]> {
    const from = this.requests.length;
    await work();
    return this.requests.slice(from);
  }

  /** Speaks to the API as somebody else than the plugin. */
  async send(method: string, path: string, body?: unknown): Promise<Response> {
    return await fetch(new URL(path, this.url), {
      method,
      headers: { Authorization: `Bearer ${token}`, "Content-Type": "application/json" },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
  }

  async stop(): Promise<void> {
    this.#server.close();
    if ("closeAllConnections" in this.#server) this.#server.closeAllConnections();
    await rm(this.#dir, { recursive: true, force: true });
  }
}
