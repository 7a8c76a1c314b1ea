import { join } from "node:path";
import { paths } from "../paths.ts";
import { runOnTerminal } from "../process.ts";
import { command } from "./command.ts";
import { initOf } from "./guests.ts";

const environment = [
  "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
  "HOME=/root",
  "LANG=C.UTF-8",
];

/**
 * The command line that runs `argv` inside a guest as its root, with nothing of our environment. It needs no
 * SSH and no cloud process, only root on this machine.
 *
 * @param dir The sandbox's state folder.
 * @throws A sentence where the guest is off or isn't there.
 */
export async function guestCommand(
  id: number,
  argv: string[],
  dir = paths.cloud,
): Promise<string[]> {
  const init = await initOf(join(dir, "guests", String(id)));
  if (init === undefined) throw new Error(`Guest ${id} is off.`);
  const namespaces = ["--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup"];
  const enter = ["--target", String(init), ...namespaces, "--root", "--wd", "--no-fork"];
  return ["nsenter", ...enter, "sh", "-c", waiter, "sh", "env", "-i", ...environment, ...argv];
}

/**
 * nsenter itself would stop when its child is stopped, as a guest that shuts down does with all its processes,
 * and then never take note of the child's end: the guest would wait for that for ever.
 */
const waiter = '"$@"; exit "$?"';

/** Runs a command in a guest on our own terminal; its exit code. */
export async function guestShell(id: number, argv: string[], dir = paths.cloud): Promise<number> {
  const term = `TERM=${process.env.TERM ?? "dumb"}`;
  const [file = "", ...rest] = await guestCommand(id, ["env", term, ...argv], dir);
  return runOnTerminal(file, rest);
}

/** Runs a command in a guest; its stdout, or an error with its last words. */
export async function inGuest(
  id: number,
  argv: string[],
  options: { dir?: string; input?: string } = {},
): Promise<string> {
  const [file = "", ...rest] = await guestCommand(id, argv, options.dir);
  return command(file, rest, options.input);
}
