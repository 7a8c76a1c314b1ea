import type { ClientChannel } from "ssh2";
import { CommandChannel } from "./channel.ts";
import { type DialOptions, dial } from "./dial.ts";
import { quote } from "./go-text.ts";
import type { Command, Output } from "./inputs.ts";
import { LogLines } from "./log-lines.ts";

export interface RunOptions extends DialOptions {
  log: (severity: "error" | "warning", message: string) => void;
}

/**
 * Runs a command line on the server of `command` and returns what it wrote, without the last line
 * feed; `previous` is the output of the run before it. Once it runs, nothing but its end ends it.
 * @throws Error with all that it wrote, in the real plugin's words, if it doesn't end with 0.
 */
export async function run(
  line: string,
  command: Command,
  previous: Output,
  options: RunOptions,
): Promise<Output> {
  const client = await dial(command.connection, options);
  const channel = await CommandChannel.open(client);
  try {
    await setEnvironment(channel, command, previous, options);
    return await execute(channel, line, command, options);
  } finally {
    channel.stream.close();
  }
}

async function setEnvironment(
  channel: CommandChannel,
  command: Command,
  previous: Output,
  { log }: RunOptions,
): Promise<void> {
  for (const [name, value] of Object.entries(command.environment)) {
    try {
      await channel.setEnvironment(name, value);
    } catch (error) {
      log("error", refusedVariable(name));
      throw new Error(`could not set environment variable ${quote(name)}: ${messageOf(error)}`);
    }
  }
  if (!command.addPreviousOutputInEnv) return;
  for (const [name, value] of [
    ["PULUMI_COMMAND_STDOUT", previous.stdout],
    ["PULUMI_COMMAND_STDERR", previous.stderr],
  ] as const) {
    if (value === "") continue;
    await channel.setEnvironment(name, value).catch(() => log("warning", refusedVariable(name)));
  }
}

const refusedVariable = (name: string) =>
  `Unable to set '${name}'. This only works if your SSH server is configured to accept
	these variables via AcceptEnv. Alternatively, if a Bash-like shell runs the command on the remote host, you could
	prefix the command itself with the variables in the form 'VAR=value command'`;

async function execute(
  channel: CommandChannel,
  line: string,
  command: Command,
  { status }: RunOptions,
): Promise<Output> {
  const { stream } = channel;
  const capture = new Capture(stream, command.logging, new LogLines(status));
  const ended = endOf(stream);
  try {
    await channel.execute(line);
    stream.end(command.stdin ?? "");
    const failure = await ended;
    if (failure !== undefined) throw new Error(failure);
    // A command that doesn't read its stdin fails, if that is more than the server takes in advance.
    if (!stream.writableFinished) throw new Error("EOF");
  } catch (error) {
    throw new Error(`${messageOf(error)}: running ${quote(line)}:\n${capture.everything()}`);
  } finally {
    capture.close();
  }
  return capture.output();
}

/** What a command writes, kept and shown as it comes. */
class Capture {
  #stdout: Buffer[] = [];
  #stderr: Buffer[] = [];
  #both: Buffer[] = [];
  #lines: LogLines;

  constructor(stream: ClientChannel, logging: string, lines: LogLines) {
    this.#lines = lines;
    const keep = (chunks: Buffer[], shown: boolean) => (chunk: Buffer) => {
      chunks.push(chunk);
      this.#both.push(chunk);
      if (shown) lines.write(chunk);
    };
    const shows = (name: string) => logging === name || logging === "stdoutAndStderr";
    stream.on("data", keep(this.#stdout, shows("stdout")));
    stream.stderr.on("data", keep(this.#stderr, shows("stderr")));
  }

  everything(): string {
    return Buffer.concat(this.#both).toString("utf8");
  }

  /** @throws Error for output that the real plugin can't take. */
  output(): Output {
    if (this.#lines.tooLong) {
      throw new Error(
        "bufio.Scanner: token too long: a line of 64 KiB or more, on which the real plugin hangs; " +
          'write shorter lines or set logging to "none"',
      );
    }
    return { stdout: textOf(this.#stdout), stderr: textOf(this.#stderr) };
  }

  /** Shows a last line that has no end. */
  close(): void {
    this.#lines.close();
  }
}

function textOf(chunks: Buffer[]): string {
  try {
    const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
    return decoder.decode(Buffer.concat(chunks)).replace(/\n$/, "");
  } catch {
    throw new Error("grpc: error while marshaling: string field contains invalid UTF-8");
  }
}

/** Resolves at a command's end, with what was wrong with it. */
function endOf(stream: ClientChannel): Promise<string | undefined> {
  let failure: string | undefined =
    "wait: remote command exited without exit status or exit signal";
  stream.on("exit", (code: number | null, signal?: string, _dump?: string, reason?: string) => {
    failure = code === 0 ? undefined : exitText(code, signal, reason);
  });
  return new Promise((resolve) => stream.once("close", () => resolve(failure)));
}

/** RFC 4254's signal names with their numbers. */
const signals: Record<string, number> = {
  ...{ HUP: 1, INT: 2, QUIT: 3, ILL: 4, ABRT: 6, FPE: 8, KILL: 9 },
  ...{ SEGV: 11, PIPE: 13, ALRM: 14, TERM: 15, USR1: 10, USR2: 12 },
};

function exitText(code: number | null, signal: string | undefined, reason: string | undefined) {
  if (code !== null) return `Process exited with status ${code}`;
  const name = signal?.replace(/^SIG/, "") ?? "";
  const cause = reason ? `. Reason was: ${reason}` : "";
  return `Process exited with status ${128 + (signals[name] ?? 0)} from signal ${name}${cause}`;
}

const messageOf = (error: unknown) => (error instanceof Error ? error.message : String(error));
