import { execFileSync, type SpawnOptions, spawn } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmSync, symlinkSync } from "node:fs";
import { userInfo } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { stringify } from "yaml";
import { pythonLacks } from "./python.ts";
import { temporaryFolder } from "./temporary.ts";

const probe = join(import.meta.dirname, "apply-probe.py");
const fakeSystemctl = join(import.meta.dirname, "systemctl");

/** Why files/apply/apply can't run on this machine; false if it can. */
export const applyCannotRun = pythonLacks("yaml", "python3-yaml");

/** A role's YAML as the server's own program reads it. */
export function asServerReads(yaml: string): unknown {
  const answer = execFileSync("/usr/bin/python3", [probe, "read"], {
    input: yaml,
    encoding: "utf8",
    maxBuffer: 1e9,
  });
  return JSON.parse(answer);
}

/** A file of a role: its text, or its text and mode. */
export type FileOfRole = string | { text: string; mode: string };

export interface RoleDocument {
  files?: Record<string, FileOfRole>;
  directories?: Record<string, { mode: string }>;
  before?: string[];
  check?: string[];
  after?: string[];
  units?: Record<string, string>;
  revision?: string;
  role?: string;
}

export interface Outcome {
  /** Exit status; a signal's name if one ended it. */
  status: number | string;
  out: string;
  err: string;
}

/** A server below a temporary folder, with a fake systemctl, on which roles are applied. */
export class FakeServer implements Disposable {
  readonly root = temporaryFolder("apply");
  readonly env: NodeJS.ProcessEnv;

  constructor() {
    for (const dir of ["bin", "etc/app", "etc/systemd/system"])
      mkdirSync(join(this.root, dir), { recursive: true });
    for (const name of ["systemctl", "journalctl"])
      symlinkSync(fakeSystemctl, join(this.root, "bin", name));
    const path = `${join(this.root, "bin")}:${process.env.PATH}`;
    this.env = { ...process.env, PATH: path, SERVER_ROOT: this.root };
  }

  path(...parts: string[]): string {
    return join(this.root, ...parts);
  }

  read(path: string): string | null {
    return existsSync(this.path(path)) ? readFileSync(this.path(path), "utf8") : null;
  }

  /** What systemctl was told, without the questions whether a unit runs. */
  systemctl(): string[] {
    const lines = this.read("systemctl.log")?.split("\n") ?? [];
    return lines.filter((line) => line !== "" && !line.startsWith("is-active"));
  }

  /** A role's text; its paths are relative to the server's root. */
  role(document: RoleDocument): string {
    const owner = userInfo().username;
    const group = execFileSync("id", ["-gn"], { encoding: "utf8" }).trim();
    const below = <T>(entries: Record<string, T> | undefined, make: (entry: T) => object) =>
      Object.fromEntries(
        Object.entries(entries ?? {}).map(([path, entry]) => [
          this.path(path),
          { owner, group, ...make(entry) },
        ]),
      );
    return stringify({
      role: document.role ?? "app",
      directories: below(document.directories, (entry) => entry),
      files: below(document.files, (file) =>
        typeof file === "string" ? { mode: "0644", text: file } : file,
      ),
      before: document.before ?? [],
      check: document.check ?? [],
      after: document.after ?? [],
      units: document.units ?? {},
      revision: document.revision ?? JSON.stringify(document),
    });
  }

  /** Starts a run; its standard input is the role. */
  start(input: string, args: string[] = [], options: SpawnOptions = {}) {
    const child = spawn("/usr/bin/python3", [probe, "run", this.root, ...args], {
      env: this.env,
      stdio: ["pipe", "pipe", "pipe"],
      ...options,
    });
    child.stdin?.on("error", () => {}); // one that was killed reads no more
    child.stdin?.end(input);
    return child;
  }

  async apply(document: RoleDocument | string, args: string[] = []): Promise<Outcome> {
    const input = typeof document === "string" ? document : this.role(document);
    const child = this.start(input, args);
    const ended = new Promise<number | string>((resolve) =>
      child.on("close", (code, signal) => resolve(signal ?? code ?? 1)),
    );
    const [status, out, err] = await Promise.all([
      ended,
      child.stdout ? text(child.stdout) : "",
      child.stderr ? text(child.stderr) : "",
    ]);
    return { status, out, err };
  }

  /** Kills a run of `next` before each of its steps, has `last` follow, and returns what that led to. */
  crashEverywhere(old: RoleDocument, next: RoleDocument, last: RoleDocument): unknown {
    const input = { old: this.role(old), new: this.role(next), last: this.role(last) };
    const answer = execFileSync("/usr/bin/python3", [probe, "crash", this.root], {
      input: JSON.stringify(input),
      env: this.env,
      encoding: "utf8",
      maxBuffer: 1e9,
    });
    return JSON.parse(answer);
  }

  [Symbol.dispose](): void {
    for (const dir of [this.root, `${this.root}.template`])
      rmSync(dir, { recursive: true, force: true });
  }
}
