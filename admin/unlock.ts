import { setTimeout as sleep } from "node:timers/promises";
import { type Access, volumeOf } from "./access.ts";
import { ConnectionError, connect, onServer, type Server } from "./connect.ts";

/** What `mail-volume status` ends with where the volume is closed. */
const closed = 3;
const minutes = 5;

/** Opens the encrypted volume of a stack's server, which may still be booting; the exit code. */
export async function unlock(stack?: string): Promise<number> {
  const { name, access, key } = await volumeOf(stack);
  if (key === null) {
    throw new Error(`Stack ${name} has no encrypted volume (encryptVolume is false).`);
  }
  return onServer(
    () => reach(access),
    (server) => open(server, key),
  );
}

/** The key goes by standard input, and only where it is needed. */
async function open(server: Server, key: string): Promise<number> {
  const program = "/usr/local/sbin/mail-volume";
  const { stdout, stderr } = process;
  const status = await server.run([program, "status"], { stdout, stderr });
  if (status !== closed) return status;
  console.log("Opening it …");
  return server.run([program, "open"], { stdin: key, stdout, stderr });
}

/** A server that boots refuses connections at first; one that shows a wrong key or takes ours not does so for ever. */
async function reach(access: Access): Promise<Server> {
  const end = Date.now() + minutes * 60_000;
  for (let tries = 0; ; tries++) {
    try {
      return await connect(access);
    } catch (error) {
      if (!(error instanceof ConnectionError) || !error.mayPass || Date.now() > end) throw error;
      if (tries === 0)
        console.log(`The server doesn't answer yet; waiting up to ${minutes} minutes for it …`);
      await sleep(2000);
    }
  }
}
