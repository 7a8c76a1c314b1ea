import { readFileSync } from "node:fs";
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { parse } from "yaml";
import { z } from "zod";
import { type Engine, engine } from "./engine/cli.ts";
import { pulumiEnv } from "./engine/env.ts";
import { ifExists, writeFileAtomic } from "./files.ts";
import { paths, root } from "./paths.ts";
import { lastLines, type RunResult, run } from "./process.ts";
import { type ConfigValue, renderStackConfig, withValue } from "./stack-config.ts";

export interface OpenOptions {
  /** Settings; "mailDomain" means "mailfruit:mailDomain". They win over those of `configFrom`. */
  config?: Record<string, ConfigValue>;
  /** A committed stack file to start from, such as Pulumi.dev.yaml; it is never written to. */
  configFrom?: string;
}

export interface CommandOptions {
  /** Every line that pulumi prints, as it comes. */
  onOutput?: (line: string) => void;
  /** pulumi's process id, for a test that interrupts it. */
  onStart?: (pid: number) => void;
  /** Return a failure as its exit code instead of throwing. */
  allowFailure?: boolean;
  /** More arguments for pulumi. */
  args?: string[];
  /** Variables over those of the sandbox. */
  env?: NodeJS.ProcessEnv;
}

export type CommandResult = Pick<RunResult, "code" | "stdout" | "stderr">;

/** pulumi ended with an exit code other than 0; the message has its last lines. */
export class PulumiError extends Error {
  readonly #result: CommandResult;

  constructor(command: string, result: CommandResult) {
    const words =
      diagnosticsOf(result.stdout) ?? lastLines(`${result.stdout}\n${result.stderr}`, 40);
    super(`pulumi ${command} failed (${result.code}):\n${words}`);
    this.#result = result;
  }

  /** Not a property, so that an error that is printed doesn't print all output a second time. */
  get result(): CommandResult {
    return this.#result;
  }
}

/** The part of pulumi's output that says what went wrong; it comes before the outputs. */
function diagnosticsOf(stdout: string): string | undefined {
  return /^Diagnostics:\n([\s\S]*?)(?=^(?:Outputs|Resources|Policies):|(?![\s\S]))/m.exec(
    stdout,
  )?.[1];
}

/**
 * A stack of the program in the sandbox's own backend. Its configuration lies in .sandbox/stacks, so that
 * nothing in the tree changes. The cloud has to run (`startCloud`) for what reaches resources.
 */
export class Stack {
  readonly name: string;
  /** Its configuration file, in Pulumi's format. */
  readonly configFile: string;
  readonly #engine: Engine;

  private constructor(name: string, engine: Engine) {
    this.name = name;
    this.configFile = stackConfigFile(name);
    this.#engine = engine;
  }

  /**
   * Selects the stack, made first if need be. With `config` or `configFrom` its configuration is made anew
   * from those (its encryption salt stays; secrets have to be set again), without them it stays as it is.
   *
   * @param name As in Pulumi.NAME.yaml.
   */
  static async open(name: string, options: OpenOptions = {}): Promise<Stack> {
    const stack = new Stack(name, await engine());
    const present = await ifExists(readFile(stack.configFile, "utf8"));
    const salt =
      present === undefined ? await stack.#init() : stackFile.parse(parse(present)).encryptionsalt;
    if (present !== undefined && !options.config && !options.configFrom) return stack;
    const template = options.configFrom && (await readFile(options.configFrom, "utf8"));
    const text = renderStackConfig(await projectName(), template || "", options.config ?? {}, salt);
    await writeFileAtomic(stack.configFile, text, 0o600);
    return stack;
  }

  /** Sets one setting; a secret goes to pulumi by stdin and is encrypted (a line end at its end is cut off). */
  async set(key: string, value: ConfigValue, options: { secret?: boolean } = {}): Promise<void> {
    if (options.secret) {
      await this.#pulumi(["config", "set", "--secret", key], {
        withConfig: true,
        input: String(value),
      });
      return;
    }
    const text = await readFile(this.configFile, "utf8");
    await writeFileAtomic(this.configFile, withValue(text, await projectName(), key, value), 0o600);
  }

  /** `pulumi up` without a preview before it. */
  up(options: CommandOptions = {}): Promise<CommandResult> {
    return this.#pulumi(["up", "--yes", "--skip-preview"], { ...options, withConfig: true });
  }

  preview(options: CommandOptions & { diff?: boolean } = {}): Promise<CommandResult> {
    const args = options.diff ? ["preview", "--diff"] : ["preview"];
    return this.#pulumi(args, { ...options, withConfig: true });
  }

  destroy(options: CommandOptions = {}): Promise<CommandResult> {
    return this.#pulumi(["destroy", "--yes", "--skip-preview"], { ...options, withConfig: true });
  }

  refresh(options: CommandOptions = {}): Promise<CommandResult> {
    return this.#pulumi(["refresh", "--yes", "--skip-preview"], { ...options, withConfig: true });
  }

  /** Frees the lock that a killed run left. */
  cancel(options: CommandOptions = {}): Promise<CommandResult> {
    return this.#pulumi(["cancel", "--yes"], options);
  }

  /** Like {@link cancel}, where those that hold the lock ran on this machine and are gone. */
  async clearStaleLock(): Promise<void> {
    const locks = await this.#locks();
    const stale = (lock: Lock) => lock.hostname === hostname() && !isPulumi(lock.pid);
    if (locks.length > 0 && locks.every(stale)) await this.cancel();
  }

  /** The outputs; secret ones are "[secret]" unless `secrets`. */
  async outputs(options: { secrets?: boolean } = {}): Promise<Record<string, unknown>> {
    const args = ["stack", "output", "--json", ...(options.secrets ? ["--show-secrets"] : [])];
    const { stdout } = await this.#pulumi(args, {});
    return z.record(z.string(), z.unknown()).parse(JSON.parse(stdout));
  }

  /** The state as `pulumi stack export` gives it, secrets encrypted. */
  async export(): Promise<Deployment> {
    const { stdout } = await this.#pulumi(["stack", "export"], {});
    return deployment.parse(JSON.parse(stdout));
  }

  /** Removes an empty stack with its configuration; `force`: also one that still has resources. */
  async remove(options: { force?: boolean } = {}): Promise<void> {
    const force = options.force ? ["--force"] : [];
    // Pulumi would remove the committed Pulumi.NAME.yaml along with the stack.
    await this.#pulumi(["stack", "rm", "--yes", "--preserve-config", ...force], {});
    await rm(this.configFile, { force: true });
  }

  /** Any other pulumi command of this stack. */
  command(args: string[], options: CommandOptions = {}): Promise<CommandResult> {
    return this.#pulumi(args, options);
  }

  async #locks(): Promise<Lock[]> {
    const project = await projectName();
    const dir = join(paths.stacks, ".pulumi", "locks", "organization", project, this.name);
    const files = ((await ifExists(readdir(dir))) ?? []).filter((file) => file.endsWith(".json"));
    return Promise.all(
      files.map(async (file) =>
        lockFile.parse(JSON.parse(await readFile(join(dir, file), "utf8"))),
      ),
    );
  }

  /** Makes the stack in the backend; returns the salt of its secrets. */
  async #init(): Promise<string | undefined> {
    // `stack init` writes the salt beside the Pulumi.yaml that it finds: here one outside the tree.
    await mkdir(paths.stacks, { recursive: true });
    const dir = await mkdtemp(join(paths.stacks, "init-"));
    try {
      await writeFile(join(dir, "Pulumi.yaml"), `name: ${await projectName()}\nruntime: nodejs\n`);
      const result = await this.#pulumi(["stack", "init", "--no-select"], {
        cwd: dir,
        allowFailure: true,
      });
      // An earlier run may have been ended before it wrote the configuration file.
      if (result.code !== 0 && !result.stderr.includes("already exists")) {
        throw new PulumiError("stack init", result);
      }
      const made = await ifExists(readFile(join(dir, `Pulumi.${this.name}.yaml`), "utf8"));
      return made === undefined ? undefined : stackFile.parse(parse(made)).encryptionsalt;
    } finally {
      await rm(dir, { recursive: true, force: true });
    }
  }

  async #pulumi(
    args: string[],
    options: CommandOptions & { withConfig?: boolean; input?: string; cwd?: string },
  ): Promise<CommandResult> {
    const config = options.withConfig ? ["--config-file", this.configFile] : [];
    const common = ["--stack", this.name, "--non-interactive", "--color", "never"];
    const result = await run(
      this.#engine.pulumi,
      [...args, ...config, ...common, ...(options.args ?? [])],
      {
        cwd: options.cwd ?? root,
        env: { ...(await pulumiEnv()), ...options.env },
        ...(options.input !== undefined && { input: options.input }),
        ...(options.onOutput && { onLine: options.onOutput }),
        ...(options.onStart && { onStart: options.onStart }),
      },
    );
    if (result.code !== 0 && !options.allowFailure) {
      throw new PulumiError(args.slice(0, 2).join(" "), result);
    }
    return result;
  }
}

/** Where the sandbox keeps a stack's configuration. */
export function stackConfigFile(name: string): string {
  return join(paths.stacks, `Pulumi.${name}.yaml`);
}

/** Whether the sandbox has such a stack. */
export async function hasStack(name: string): Promise<boolean> {
  return (await ifExists(stat(stackConfigFile(name)))) !== undefined;
}

/** The sandbox's stacks. */
export async function stackNames(): Promise<string[]> {
  const files = (await ifExists(readdir(paths.stacks))) ?? [];
  return files.flatMap((file) => /^Pulumi\.(.+)\.yaml$/.exec(file)?.[1] ?? []).sort();
}

/** As the file backend writes it. */
const lockFile = z.object({ pid: z.number(), hostname: z.string() });
type Lock = z.infer<typeof lockFile>;

/** A process with the number of one that is gone may run by now, but hardly another pulumi. */
function isPulumi(pid: number): boolean {
  try {
    return readFileSync(`/proc/${pid}/comm`, "utf8").trim() === "pulumi";
  } catch {
    return false;
  }
}

const stackFile = z.looseObject({ encryptionsalt: z.string().optional() });

const deployment = z.looseObject({
  version: z.number(),
  deployment: z.looseObject({
    resources: z
      .array(
        z.looseObject({
          urn: z.string(),
          type: z.string(),
          custom: z.boolean().optional(),
          id: z.string().optional(),
          parent: z.string().optional(),
          dependencies: z.array(z.string()).optional(),
          protect: z.boolean().optional(),
          inputs: z.record(z.string(), z.unknown()).optional(),
          outputs: z.record(z.string(), z.unknown()).optional(),
        }),
      )
      .optional(),
  }),
});
/** A stack's state, as far as it is looked at here; other fields are kept. */
export type Deployment = z.infer<typeof deployment>;

async function projectName(): Promise<string> {
  const text = await readFile(join(root, "Pulumi.yaml"), "utf8");
  return z.looseObject({ name: z.string() }).parse(parse(text)).name;
}
