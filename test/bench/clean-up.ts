import { Stack, stackNames } from "../../sandbox/stack.ts";
import { cloudApi, removeMachine } from "../system/cloud.ts";

/** Removes what benches made, also those that were killed. */
export async function cleanUp(): Promise<void> {
  await removeDroplets();
  for (const name of (await stackNames()).filter((one) => /^bench-(?:\d+|mail)$/.test(one))) {
    const stack = await Stack.open(name);
    await stack.clearStaleLock();
    await stack.destroy();
    await stack.remove();
  }
}

/** Those of the stacks too: pulumi doesn't know of one whose making was cut off, and nobody needs its shutdown. */
async function removeDroplets(): Promise<void> {
  const { droplets } = await cloudApi.droplets();
  for (const { id, name } of droplets) {
    if (/\.bench-(?:\d+|mail)\.example$/.test(name)) await removeMachine(id);
  }
}
