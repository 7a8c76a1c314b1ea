import { readdir, readFile, symlink, writeFile } from "node:fs/promises";
import { delimiter, dirname, join } from "node:path";
import type { Engine } from "../../../sandbox/engine/cli.ts";
import { nodeWrapper } from "../../../sandbox/engine/wrapper.ts";
import { ifExists, writeFileAtomic } from "../../../sandbox/files.ts";
import { root } from "../../../sandbox/paths.ts";
import { type RunResult, run } from "../../../sandbox/process.ts";

const script = (...path: string[]) => join(root, "sandbox", ...path);

/** A Pulumi project in a folder of its own, with the stand-ins as its only plugins. */
export class Project {
  readonly #dir: string;
  readonly #engine: Engine;
  readonly #env: NodeJS.ProcessEnv;
  /** Everything that pulumi printed. */
  printed = "";

  constructor(dir: string, engine: Engine, env: NodeJS.ProcessEnv) {
    this.#dir = dir;
    this.#engine = engine;
    this.#env = env;
  }

  /** `program` reads its options from options.json beside it. */
  async prepare(program: string, plugins: { name: string; version: string }[]): Promise<void> {
    for (const { name, version } of plugins) {
      const file = join(
        "home",
        "plugins",
        `resource-${name}-v${version}`,
        `pulumi-resource-${name}`,
      );
      await this.#executable(file, script("providers", `${name}.ts`));
    }
    if (this.#engine.kind === "built") {
      await this.#executable("bin/pulumi-language-nodejs", script("engine", "language-nodejs.ts"));
    }
    await writeFileAtomic(join(this.#dir, "state", "empty"), "");
    await symlink(join(root, "node_modules"), join(this.#dir, "node_modules"));
    await writeFile(join(this.#dir, "package.json"), '{ "type": "module", "main": "index.js" }');
    await writeFile(join(this.#dir, "index.js"), program);
    const settings = "runtime: { name: nodejs, options: { typescript: false } }\nmain: index.js\n";
    await writeFile(join(this.#dir, "Pulumi.yaml"), `name: unit\n${settings}`);
    await this.pulumi("stack", "init", "test");
  }

  #executable(file: string, source: string): Promise<void> {
    return writeFileAtomic(join(this.#dir, file), nodeWrapper(source), 0o755);
  }

  async options(options: object): Promise<void> {
    await writeFile(join(this.#dir, "options.json"), JSON.stringify(options));
  }

  async pulumi(...args: string[]): Promise<RunResult> {
    const result = await run(this.#engine.pulumi, [...args, "--non-interactive"], {
      cwd: this.#dir,
      env: this.env,
      timeout: 60,
    });
    this.printed += result.stdout + result.stderr;
    return result;
  }

  get env(): NodeJS.ProcessEnv {
    const bins = [join(this.#dir, "bin"), join(root, "node_modules", ".bin")];
    return {
      ...this.#env,
      HOME: this.#dir,
      PATH: [...bins, dirname(this.#engine.pulumi), process.env.PATH].join(delimiter),
      PULUMI_HOME: join(this.#dir, "home"),
      PULUMI_BACKEND_URL: `file://${join(this.#dir, "state")}`,
      PULUMI_CONFIG_PASSPHRASE: "test",
      PULUMI_SKIP_UPDATE_CHECK: "1",
    };
  }

  stateText(): Promise<string> {
    return readFile(join(this.#dir, "state", ".pulumi", "stacks", "unit", "test.json"), "utf8");
  }

  /** Process ids of this project's plugins. */
  async pluginIds(): Promise<number[]> {
    const home = `PULUMI_HOME=${join(this.#dir, "home")}`;
    const found: number[] = [];
    for (const id of (await readdir("/proc")).filter((name) => /^\d+$/.test(name))) {
      const environment = await ifExists(readFile(`/proc/${id}/environ`, "utf8")).catch(() => "");
      const command = await ifExists(readFile(`/proc/${id}/cmdline`, "utf8")).catch(() => "");
      if (environment?.includes(home) && command?.includes("/providers/")) found.push(Number(id));
    }
    return found;
  }
}
