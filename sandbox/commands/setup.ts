import { whyNoSandbox } from "../requirements.ts";
import { setup } from "../setup.ts";

/** Sets up, or says in a sentence why this machine can't. */
export async function setupOnly(options: { quiet?: boolean } = {}): Promise<void> {
  const why = await whyNoSandbox();
  if (why) throw new Error(why);
  await setup(options);
}
