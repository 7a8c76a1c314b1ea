import type { Properties, Value } from "../kit.ts";
import type { Api } from "./api.ts";

/** How to reach DigitalOcean's API. */
export interface Settings {
  endpoint: string;
  token: string;
  /** Tries after the first of a request that met 429, 5xx or no answer. */
  retryMax: number;
  retryWaitMinSeconds: number;
  retryWaitMaxSeconds: number;
}

/** The provider's configuration, with the environment for what it leaves out. */
export function settingsOf(config: Properties): Settings {
  const env = process.env;
  const text = (value: Value | undefined) => (typeof value === "string" ? value : undefined);
  return {
    endpoint:
      text(config.apiEndpoint) || env.DIGITALOCEAN_API_URL || "https://api.digitalocean.com",
    token: text(config.token) || env.DIGITALOCEAN_TOKEN || env.DIGITALOCEAN_ACCESS_TOKEN || "",
    retryMax: number(config.httpRetryMax ?? env.DIGITALOCEAN_HTTP_RETRY_MAX, 4),
    retryWaitMinSeconds: number(config.httpRetryWaitMin ?? env.DIGITALOCEAN_HTTP_RETRY_WAIT_MIN, 1),
    retryWaitMaxSeconds: number(
      config.httpRetryWaitMax ?? env.DIGITALOCEAN_HTTP_RETRY_WAIT_MAX,
      30,
    ),
  };
}

/** Numbers come as text from the program's configuration. */
function number(value: Value | undefined, otherwise: number): number {
  const parsed = typeof value === "string" && value !== "" ? Number(value) : value;
  return typeof parsed === "number" && Number.isFinite(parsed) ? parsed : otherwise;
}

/** Gives the API's client, loaded on first use: a run without changes sends no request. */
export type Connect = (signal: AbortSignal) => Promise<Api>;

/** A `Connect` whose settings come later, by `configure`. */
export function connection(): { connect: Connect; configure(config: Properties): void } {
  let settings = settingsOf({});
  return {
    configure: (config) => {
      settings = settingsOf(config);
    },
    connect: async (signal) => {
      const { Api } = await import("./api.ts");
      return new Api(settings, signal);
    },
  };
}
