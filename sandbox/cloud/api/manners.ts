import { randomUUID, timingSafeEqual } from "node:crypto";
import type { Context, MiddlewareHandler } from "hono";
import { ApiError, reason } from "./errors.ts";
import type { Log } from "./log.ts";
import type { Store } from "./store.ts";

/** How every answer of the API behaves, whatever it is about. */

export interface RateLimit {
  requests: number;
  windowSeconds: number;
}

/** Counts requests in windows of fixed length, as DigitalOcean's headers tell them. */
export class RateLimiter {
  #limit: RateLimit;
  #remaining: number;
  /** Seconds since 1970. */
  #reset = 0;

  constructor(limit: RateLimit) {
    this.#limit = limit;
    this.#remaining = limit.requests;
  }

  set(limit: RateLimit): void {
    this.#limit = limit;
    this.#reset = 0;
  }

  /** Headers of the answer, and whether the request may pass. */
  count(now = Date.now() / 1000): { allowed: boolean; headers: Record<string, string> } {
    if (now >= this.#reset) {
      this.#reset = Math.ceil(now + this.#limit.windowSeconds);
      this.#remaining = this.#limit.requests;
    }
    const allowed = this.#remaining > 0;
    if (allowed) this.#remaining -= 1;
    const headers = {
      "ratelimit-limit": String(this.#limit.requests),
      "ratelimit-remaining": String(this.#remaining),
      "ratelimit-reset": String(this.#reset),
    };
    if (allowed) return { allowed, headers };
    return {
      allowed,
      headers: { ...headers, "retry-after": String(Math.max(1, Math.ceil(this.#reset - now))) },
    };
  }
}

/** Names each request, and logs its method, path, status and time. */
export function named(log: Log): MiddlewareHandler {
  return async (c, next) => {
    const started = performance.now();
    c.header("x-request-id", randomUUID());
    await next();
    const took = Math.round(performance.now() - started);
    log(`${c.req.method} ${c.req.path} ${c.res.status} ${took} ms`);
  };
}

export function limited(limiter: RateLimiter): MiddlewareHandler {
  return async (c, next) => {
    const { allowed, headers } = limiter.count();
    for (const [name, value] of Object.entries(headers)) c.header(name, value);
    if (!allowed) throw new ApiError(429, "too_many_requests", "API rate limit exceeded.");
    await next();
  };
}

export function authenticated(token: string): MiddlewareHandler {
  const wanted = Buffer.from(`Bearer ${token}`);
  return async (c, next) => {
    const given = Buffer.from(c.req.header("authorization") ?? "");
    if (given.length !== wanted.length || !timingSafeEqual(given, wanted)) {
      throw new ApiError(401, "Unauthorized", "Unable to authenticate you");
    }
    await next();
  };
}

/** What an answer says is on disk before it is sent. */
export function persisted(store: Store): MiddlewareHandler {
  return async (c, next) => {
    await next();
    if (c.req.method !== "GET") await store.save();
  };
}

export function answerError(log: Log): (error: Error, c: Context) => Response {
  return (error, c) => {
    const requestId = c.res.headers.get("x-request-id");
    if (error instanceof ApiError) {
      const { id, message, status } = error;
      return c.json({ id, message, request_id: requestId }, status);
    }
    log(`${c.req.method} ${c.req.path} failed: ${error.stack ?? reason(error)}`);
    const message = `The sandbox's cloud failed: ${reason(error)}`;
    return c.json({ id: "server_error", message, request_id: requestId }, 500);
  };
}
