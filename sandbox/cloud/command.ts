import { spawn } from "node:child_process";
import { lastLines } from "../process.ts";

/** Administrators' commands lie in sbin, which a user's PATH may lack. */
const path = `${process.env.PATH ?? ""}:/usr/sbin:/sbin`;

/**
 * Runs one of the machine's commands to its end, whatever signals we get meanwhile: half a change to the
 * network or to a guest is worse than a slow end. Returns stdout; throws with its last words where it fails.
 */
export function command(file: string, args: string[], input = ""): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(file, args, {
      detached: true,
      stdio: "pipe",
      env: { ...process.env, PATH: path, LC_ALL: "C.UTF-8" },
    });
    const out: Buffer[] = [];
    const err: Buffer[] = [];
    child.stdout.on("data", (chunk: Buffer) => out.push(chunk));
    child.stderr.on("data", (chunk: Buffer) => err.push(chunk));
    child.on("error", (error) => reject(new Error(`${file} can't be run: ${error.message}`)));
    child.on("close", (code) => {
      const stdout = Buffer.concat(out).toString();
      if (code === 0) return resolve(stdout);
      const words = lastLines(Buffer.concat(err).toString() || stdout);
      reject(new Error(`${[file, ...args].join(" ")} failed (${code}):\n${words}`));
    });
    child.stdin.on("error", () => {}); // it may end without reading: its exit code tells
    child.stdin.end(input);
  });
}

/** Whether the command ends with 0. */
export async function succeeds(file: string, args: string[]): Promise<boolean> {
  return command(file, args).then(
    () => true,
    () => false,
  );
}

/** Waits until `condition` holds, asking every `every` milliseconds; false after `seconds`. */
export async function waitUntil(
  condition: () => boolean | Promise<boolean>,
  seconds: number,
  every = 50,
): Promise<boolean> {
  const end = Date.now() + seconds * 1000;
  while (!(await condition())) {
    if (Date.now() >= end) return false;
    await new Promise((resolve) => setTimeout(resolve, every));
  }
  return true;
}

/** Runs the works that it is given one after another. */
export function serially(): <T>(work: () => Promise<T>) => Promise<T> {
  let last: Promise<unknown> = Promise.resolve();
  return (work) => {
    const next = last.then(work, work);
    last = next.catch(() => {});
    return next;
  };
}
