import { setTimeout as sleep } from "node:timers/promises";

/** Waits for what happens soon; throws if it hasn't within 20 s. */
export async function until(happened: () => boolean): Promise<void> {
  const deadline = Date.now() + 20_000;
  while (!happened()) {
    if (Date.now() > deadline) throw new Error(`waited 20 s in vain for ${happened}`);
    await sleep(10);
  }
}
