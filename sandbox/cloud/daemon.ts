import { type ChildProcess, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, open, readFile, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { ifExists, writeFileAtomic } from "../files.ts";
import { withLock } from "../lock.ts";
import { lastLines } from "../process.ts";
import { waitUntil } from "./command.ts";
import { type Endpoint, readEndpoint } from "./endpoint.ts";
import { identify, isAlive, type ProcessIdentity, processIdentity, signal } from "./processes.ts";

/** How long a start may take; the first one makes the guests' image. */
const startSeconds = 900;
/** How long it may take to end what it is doing: a start under way is gone through with. */
const stopSeconds = 300;
const largestLog = 20 * 1024 * 1024;

export type Report = (line: string) => void;

/** A cloud's process in the background, known by the files in its state folder. */
export class Daemon {
  readonly #dir: string;
  readonly #argv: [string, ...string[]];

  /** `argv` runs it in the foreground, and with `--stop-guests` ends what it leaves behind. */
  constructor(dir: string, argv: [string, ...string[]]) {
    this.#dir = dir;
    this.#argv = argv;
  }

  /** `undefined` while it isn't running, or not yet answering. */
  async endpoint(): Promise<Endpoint | undefined> {
    const [endpoint, running] = await Promise.all([readEndpoint(this.#dir), this.#running()]);
    return endpoint && endpoint.pid === running?.pid ? endpoint : undefined;
  }

  /**
   * Returns when it answers; at once where it does already. `report` gets its log meanwhile.
   * Throws with its last words where it ends instead.
   */
  start(report: Report): Promise<Endpoint> {
    return this.#alone(report, async () => {
      const before = await this.#running();
      if (!before) await this.#rotateLog();
      const from = await this.#logSize();
      const running = before ?? (await this.#spawn());
      const follower = this.#followLog(from, report);
      try {
        return await this.#untilAnswering(running);
      } finally {
        await follower.end();
      }
    });
  }

  /** No error where nothing runs. Guests go on unless `guests` says that they end too. */
  stop(guests: boolean, report: Report): Promise<void> {
    if (!existsSync(this.#dir)) return Promise.resolve();
    return this.#alone(report, async () => {
      await this.#end();
      if (guests) await this.#stopGuests(report);
    });
  }

  #alone<T>(report: Report, work: () => Promise<T>): Promise<T> {
    const wait = () => report("Another process starts or stops the cloud: waiting for it.");
    return withLock(join(this.#dir, "cloud.lock"), wait, work);
  }

  async #running(): Promise<ProcessIdentity | undefined> {
    const text = await ifExists(readFile(this.#pidFile, "utf8"));
    const identity = processIdentity.safeParse(text && json(text)).data;
    return identity && isAlive(identity) ? identity : undefined;
  }

  async #spawn(): Promise<ProcessIdentity> {
    const child = await this.#run([]);
    child.unref();
    if (child.pid === undefined) throw new Error(`${this.#argv[0]} can't be started.`);
    const identity = identify(child.pid);
    await writeFileAtomic(this.#pidFile, `${JSON.stringify(identity)}\n`);
    return identity;
  }

  /** In a session of its own, so that neither Ctrl-C nor the end of a terminal reaches it. */
  async #run(more: string[]): Promise<ChildProcess> {
    await mkdir(this.#dir, { recursive: true, mode: 0o700 });
    const log = await open(this.#logFile, "a", 0o600);
    try {
      const [file, ...args] = this.#argv;
      const stdio = ["ignore", log.fd, log.fd] as const;
      const child = spawn(file, [...args, ...more], {
        detached: true,
        stdio: [...stdio],
        cwd: "/",
      });
      await new Promise((resolve, reject) => {
        child.once("spawn", resolve);
        child.once("error", reject);
      });
      return child;
    } finally {
      await log.close();
    }
  }

  async #untilAnswering(running: ProcessIdentity): Promise<Endpoint> {
    let endpoint: Endpoint | undefined;
    const answered = async () => {
      endpoint = await this.endpoint();
      return (endpoint && (await answers(endpoint))) || !isAlive(running);
    };
    const inTime = await waitUntil(answered, startSeconds, 100);
    if (inTime && endpoint && isAlive(running)) return endpoint;
    const what = inTime ? "ended while it started" : `does not answer after ${startSeconds} s`;
    throw new Error(`The sandbox's cloud ${what}; ${await this.#lastWords()}`);
  }

  async #end(): Promise<void> {
    const running = await this.#running();
    if (!running) return;
    signal(running.pid, "SIGTERM");
    if (!(await waitUntil(() => !isAlive(running), stopSeconds))) {
      throw new Error(
        `The sandbox's cloud (process ${running.pid}) does not end; ${await this.#lastWords()}`,
      );
    }
    await rm(this.#pidFile, { force: true });
  }

  async #stopGuests(report: Report): Promise<void> {
    const from = await this.#logSize();
    const child = await this.#run(["--stop-guests"]);
    const follower = this.#followLog(from, report);
    const code = await new Promise((resolve) => child.once("exit", resolve));
    await follower.end();
    if (code !== 0) {
      throw new Error(`The sandbox's guests can't be stopped; ${await this.#lastWords()}`);
    }
  }

  #followLog(from: number, report: Report): { end: () => Promise<void> } {
    let position = from;
    const read = async () => {
      const text = await this.#logAfter(position);
      const end = text.lastIndexOf("\n") + 1;
      position += end;
      for (const line of text.subarray(0, end).toString().split("\n")) {
        const words = line.replace(/^\d{4}-\d\d-\d\dT\S+Z /, "");
        if (words !== "" && !isRequest(words)) report(words);
      }
    };
    const timer = setInterval(() => read().catch(() => {}), 200);
    return {
      end: () => {
        clearInterval(timer);
        return read();
      },
    };
  }

  async #rotateLog(): Promise<void> {
    if ((await this.#logSize()) > largestLog) await rename(this.#logFile, `${this.#logFile}.1`);
  }

  async #logSize(): Promise<number> {
    return (await ifExists(stat(this.#logFile)))?.size ?? 0;
  }

  async #logAfter(position: number): Promise<Buffer> {
    const log = await ifExists(open(this.#logFile));
    if (!log) return Buffer.alloc(0);
    try {
      const { size } = await log.stat();
      const buffer = Buffer.alloc(Math.max(0, size - position));
      const { bytesRead } = await log.read(buffer, 0, buffer.length, position);
      return buffer.subarray(0, bytesRead);
    } finally {
      await log.close();
    }
  }

  async #lastWords(): Promise<string> {
    const end = await this.#logAfter(Math.max(0, (await this.#logSize()) - 16_384));
    return `its log ${this.#logFile} ends with:\n${lastLines(end.toString())}`;
  }

  get #pidFile(): string {
    return join(this.#dir, "cloud.pid");
  }

  get #logFile(): string {
    return join(this.#dir, "cloud.log");
  }
}

async function answers(endpoint: Endpoint): Promise<boolean> {
  const headers = { authorization: `Bearer ${endpoint.token}` };
  const answer = fetch(`${endpoint.url}/sandbox/status`, {
    headers,
    signal: AbortSignal.timeout(5000),
  });
  return answer.then(
    (response) => response.ok,
    () => false,
  );
}

function json(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** The log's lines of requests are for who looks for them, not for who waits for the cloud. */
function isRequest(words: string): boolean {
  return /^(?:GET|POST|PUT|PATCH|DELETE) \//.test(words);
}
