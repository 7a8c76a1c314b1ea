import { setTimeout as sleep } from "node:timers/promises";

const firstDelayMilliseconds = 100;
const backoff = 1.5;
const maxDelayMilliseconds = 5000;

export interface Retry {
  /** What is tried, for the messages: "Dial". */
  what: string;
  /** Failures that are forgiven; -1 for any number. */
  limit: number;
  /** Ends the waiting, with its reason as the error. */
  signal: AbortSignal;
  status: (message: string) => void;
}

/**
 * Tries until it works, 0.1 s to 5 s apart.
 * @throws the last failure, once there are more than `limit`.
 */
export async function withRetry<Result>(
  { what, limit, signal, status }: Retry,
  attempt: () => Promise<Result>,
): Promise<Result> {
  for (let failures = 1, delay = firstDelayMilliseconds; ; failures += 1, delay *= backoff) {
    try {
      return await attempt();
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      // The real plugin counts one failure less than there were.
      if (limit >= 0 && failures > limit) {
        throw new Error(`after ${failures - 1} failed attempts: ${reason}`);
      }
      status(`${what} ${failures}/${limit === -1 ? "inf" : limit} failed: retrying`);
    }
    await wait(Math.min(delay, maxDelayMilliseconds), signal);
  }
}

async function wait(milliseconds: number, signal: AbortSignal): Promise<void> {
  try {
    await sleep(milliseconds, undefined, { signal });
  } catch (error) {
    throw signal.aborted ? signal.reason : error;
  }
}
