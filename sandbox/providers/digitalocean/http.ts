import { setTimeout as sleep } from "node:timers/promises";
import { fetchBySocks, socksProxyFor } from "./proxy.ts";
import type { Settings } from "./settings.ts";

/** What a failed request says, in godo's words. */
export class ApiError extends Error {
  readonly status: number;
  /** The API's own message. */
  readonly apiMessage: string;
  constructor(text: string, status: number, apiMessage: string) {
    super(text);
    this.status = status;
    this.apiMessage = apiMessage;
  }
}

export const isNotFound = (error: unknown): boolean =>
  error instanceof ApiError && error.status === 404;

type Method = "GET" | "POST" | "PUT" | "DELETE";

interface Answer {
  status: number;
  text: string;
  requestId: string;
  retryAfterSeconds: number | undefined;
}

/** Sends JSON to the API and retries as the real client does: on 429, on 5xx but 501, on no answer. */
export class Http {
  readonly #settings: Settings;
  readonly signal: AbortSignal;

  constructor(settings: Settings, signal: AbortSignal) {
    this.#settings = settings;
    this.signal = signal;
  }

  /**
   * `path` is relative ("v2/droplets"). Returns the parsed body; `undefined` where there is none.
   * @throws ApiError on any answer but 2xx; Error if there was none.
   */
  async send(method: Method, path: string, body?: unknown): Promise<unknown> {
    const url = new URL(path, this.#settings.endpoint);
    for (let attempt = 1; ; attempt++) {
      const last = attempt > this.#settings.retryMax;
      const answer = await this.#try(method, url, body, last ? attempt : null);
      if (answer !== null && (last || !isWorthRetrying(answer.status))) {
        return readAnswer(method, url, answer, last && attempt > 1 ? attempt : null);
      }
      await this.#wait(attempt, answer?.retryAfterSeconds);
    }
  }

  /** `null` if there was no answer; on the last attempt that is an error. */
  async #try(
    method: Method,
    url: URL,
    body: unknown,
    lastAttempt: number | null,
  ): Promise<Answer | null> {
    this.signal.throwIfAborted();
    try {
      return await this.#exchange(method, url, body);
    } catch (error) {
      this.signal.throwIfAborted();
      if (lastAttempt === null) return null;
      throw new Error(
        `${method} ${url.href}: ${causeOf(error)}; giving up after ${lastAttempt} attempt(s)`,
      );
    }
  }

  async #exchange(method: Method, url: URL, body: unknown): Promise<Answer> {
    const proxy = socksProxyFor(url);
    const send = proxy ? fetchBySocks.bind(undefined, proxy) : fetch;
    const response = await send(url, {
      method,
      signal: this.signal,
      headers: {
        Authorization: `Bearer ${this.#settings.token}`,
        Accept: "application/json",
        "Content-Type": "application/json",
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const retryAfter = Number(response.headers.get("retry-after") ?? Number.NaN);
    return {
      status: response.status,
      text: await response.text(),
      requestId: response.headers.get("x-request-id") ?? "",
      retryAfterSeconds: Number.isFinite(retryAfter) ? retryAfter : undefined,
    };
  }

  /** Doubles from the least to the longest time; the server may say how long. */
  async #wait(attempt: number, retryAfterSeconds: number | undefined): Promise<void> {
    const { retryWaitMinSeconds, retryWaitMaxSeconds } = this.#settings;
    const backoff = Math.min(retryWaitMinSeconds * 2 ** (attempt - 1), retryWaitMaxSeconds);
    await pause((retryAfterSeconds ?? backoff) * 1000, this.signal);
  }
}

/** @throws the signal's reason when it is aborted. */
export async function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  try {
    await sleep(milliseconds, undefined, { signal });
  } catch {
    signal.throwIfAborted();
  }
}

const isWorthRetrying = (status: number): boolean =>
  status === 429 || (status >= 500 && status !== 501);

function causeOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause instanceof Error ? error.cause.message || error.message : error.message;
}

function readAnswer(method: Method, url: URL, answer: Answer, attempts: number | null): unknown {
  const body = parseJson(answer.text);
  if (answer.status >= 200 && answer.status < 300) return body;
  const message = textField(body, "message") ?? answer.text;
  const id = textField(body, "request_id") ?? answer.requestId;
  const request = id === "" ? "" : `(request "${id}") `;
  const tries = attempts === null ? "" : `; giving up after ${attempts} attempt(s)`;
  throw new ApiError(
    `${method} ${url.href}: ${answer.status} ${request}${message}${tries}`,
    answer.status,
    message,
  );
}

function parseJson(text: string): unknown {
  if (text === "") return undefined;
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function textField(body: unknown, name: string): string | undefined {
  if (typeof body !== "object" || body === null) return undefined;
  const value = new Map<string, unknown>(Object.entries(body)).get(name);
  return typeof value === "string" ? value : undefined;
}
