import { spawn } from "node:child_process";
import { constants } from "node:os";
import { StringDecoder } from "node:string_decoder";

export interface RunOptions {
  cwd?: string;
  env?: NodeJS.ProcessEnv;
  /** Written to stdin, which is closed after it. */
  input?: string;
  /** Every line of stdout and stderr as it comes, without its line end. */
  onLine?: (line: string) => void;
  /** Called with the process id as soon as it runs. */
  onStart?: (pid: number) => void;
  /** Seconds; then the process and its children are killed and the result says `timedOut`. */
  timeout?: number;
}

export interface RunResult {
  /** Exit code; 128 + number where a signal ended it; 127 where it could not be started. */
  code: number;
  stdout: string;
  stderr: string;
  timedOut: boolean;
}

/** SIGINT, SIGTERM or SIGHUP came while a command ran: it got the signal and has ended since. */
export class Interrupted extends Error {
  readonly signal: NodeJS.Signals;

  constructor(signal: NodeJS.Signals) {
    super(`Interrupted (${signal}). Run it again to go on from here.`);
    this.signal = signal;
  }

  get exitCode(): number {
    return 128 + constants.signals[this.signal];
  }
}

/**
 * Runs a command in a session of its own, so that Ctrl-C reaches it once, through us, and it can end tidily.
 * Rejects with {@link Interrupted} only.
 */
export function run(file: string, args: string[], options: RunOptions = {}): Promise<RunResult> {
  return new Promise((resolve, reject) => {
    const child = spawn(file, args, {
      cwd: options.cwd,
      env: options.env,
      detached: true,
      stdio: "pipe",
    });
    const stdout = collect(child.stdout, options.onLine);
    const stderr = collect(child.stderr, options.onLine);
    let interruptedBy: NodeJS.Signals | undefined;
    const stopForwarding = onSignals((signal) => {
      interruptedBy = signal;
      child.kill(signal);
    });
    let timedOut = false;
    const expire = () => {
      timedOut = true;
      killGroup(child.pid);
    };
    const timer = options.timeout ? setTimeout(expire, options.timeout * 1000) : undefined;
    const finish = (code: number, error = "") => {
      clearTimeout(timer);
      stopForwarding();
      if (interruptedBy) reject(new Interrupted(interruptedBy));
      else resolve({ code, stdout: stdout(), stderr: stderr() + error, timedOut });
    };
    child.on("spawn", () => child.pid && options.onStart?.(child.pid));
    child.on("error", (error) => finish(127, error.message));
    child.on("close", (code, signal) =>
      finish(signal ? 128 + constants.signals[signal] : (code ?? 1)),
    );
    child.stdin.on("error", () => {}); // it may end without reading: its exit code tells
    child.stdin.end(options.input ?? "");
  });
}

/** Like {@link run}, but throws with what it printed last where it fails. Returns stdout. */
export async function mustRun(
  file: string,
  args: string[],
  options: RunOptions = {},
): Promise<string> {
  const result = await run(file, args, options);
  if (result.code === 0) return result.stdout;
  const why = result.timedOut ? `took more than ${options.timeout} s` : `failed (${result.code})`;
  const words = lastLines(result.stderr || result.stdout);
  throw new Error(`${[file, ...args].join(" ")} ${why}:\n${words}`);
}

/**
 * Runs a command for a person on our own terminal: Ctrl-C reaches it from there, other signals through us.
 * Returns its exit code as {@link RunResult} has it.
 */
export function runOnTerminal(
  file: string,
  args: string[],
  options: Pick<RunOptions, "cwd" | "env"> = {},
): Promise<number> {
  return new Promise((resolve, reject) => {
    const child = spawn(file, args, { ...options, stdio: "inherit" });
    const stop = onSignals((signal) => {
      if (signal !== "SIGINT" || !process.stdin.isTTY) child.kill(signal);
    });
    child.on("error", (error) => {
      stop();
      reject(error);
    });
    child.on("exit", (code, signal) => {
      stop();
      resolve(signal ? 128 + constants.signals[signal] : (code ?? 1));
    });
  });
}

/** The last `count` lines that are not blank. */
export function lastLines(text: string, count = 20): string {
  return text
    .split("\n")
    .filter((line) => line.trim() !== "")
    .slice(-count)
    .join("\n");
}

/**
 * Calls `handle` for each signal that asks us to end. npm and the terminal both deliver Ctrl-C: the same
 * signal within two seconds counts once. Returns the function that undoes it.
 */
export function onSignals(handle: (signal: NodeJS.Signals) => void): () => void {
  const last = new Map<NodeJS.Signals, number>();
  const listener = (signal: NodeJS.Signals) => {
    const now = Date.now();
    if (now - (last.get(signal) ?? 0) < 2000) return;
    last.set(signal, now);
    handle(signal);
  };
  const signals: NodeJS.Signals[] = ["SIGINT", "SIGTERM", "SIGHUP"];
  for (const signal of signals) process.on(signal, listener);
  return () => {
    for (const signal of signals) process.off(signal, listener);
  };
}

function killGroup(pid: number | undefined): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, "SIGKILL");
  } catch {
    // it ended in the meantime
  }
}

/** Gathers a stream's text and hands out its lines; returns what was gathered. */
function collect(stream: NodeJS.ReadableStream, onLine?: (line: string) => void): () => string {
  const decoder = new StringDecoder("utf8");
  let text = "";
  let line = "";
  stream.on("data", (chunk: Buffer) => {
    const part = decoder.write(chunk);
    text += part;
    if (!onLine) return;
    const lines = (line + part).split(/\r?\n/);
    line = lines.pop() ?? "";
    for (const one of lines) onLine(one);
  });
  stream.on("end", () => {
    if (onLine && line !== "") onLine(line);
  });
  return () => text;
}
