// A remote.Command through a real `pulumi up`, with a home, a backend and a project of its own in
// a temporary folder: what the engine makes of the plugin's answers, and what reaches the state.
import assert from "node:assert/strict";
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { after, before, describe, test } from "node:test";
import { z } from "zod";
import { type Engine, engine } from "../../sandbox/engine/cli.ts";
import { nodeWrapper } from "../../sandbox/engine/wrapper.ts";
import { root } from "../../sandbox/paths.ts";
import { type RunResult, run } from "../../sandbox/process.ts";
import type { SshServer } from "../unit/command/ssh-server.ts";
import { canary, hostKey, privateKey, realPlugin, World } from "../unit/command/world.ts";

const found = await engine().catch(() => undefined);
const skip = found ? false : "there is no Pulumi engine: run `npm run sandbox -- setup`";

/** Arguments of the one remote.Command, from the file ARGS; its connection's keys are secrets. */
const program = `
import { readFileSync } from "node:fs";
import * as pulumi from "@pulumi/pulumi";
import * as command from "@pulumi/command";
const { connection, stdin, ...args } = JSON.parse(readFileSync("args.json", "utf8"));
const privateKey = pulumi.secret(connection.privateKey);
const made = new command.remote.Command("it", {
  ...args,
  stdin: pulumi.secret(stdin),
  connection: { ...connection, privateKey },
});
export const stdout = made.stdout;
`;

class Project {
  readonly #dir: string;
  readonly #engine: Engine;
  readonly #server: SshServer;
  /** Everything that pulumi printed. */
  printed = "";

  constructor(dir: string, engine: Engine, server: SshServer) {
    this.#dir = dir;
    this.#engine = engine;
    this.#server = server;
  }

  async prepare(): Promise<void> {
    const plugin = join(this.#dir, "home", "plugins", "resource-command-v1.2.1");
    const bin = join(this.#dir, "bin");
    for (const dir of [plugin, bin, join(this.#dir, "state")])
      await mkdir(dir, { recursive: true });
    const executable = join(plugin, "pulumi-resource-command");
    if (realPlugin) await symlink(realPlugin, executable);
    else await this.#write(executable, nodeWrapper(script("providers", "command.ts")));
    if (this.#engine.kind === "built") {
      const host = join(bin, "pulumi-language-nodejs");
      await this.#write(host, nodeWrapper(script("engine", "language-nodejs.ts")));
    }
    await symlink(join(root, "node_modules"), join(this.#dir, "node_modules"));
    await this.#write(join(this.#dir, "package.json"), '{ "type": "module", "main": "index.js" }');
    await this.#write(join(this.#dir, "index.js"), program);
    await this.#write(
      join(this.#dir, "Pulumi.yaml"),
      "name: unit\nruntime: { name: nodejs, options: { typescript: false } }\nmain: index.js\n",
    );
    await this.pulumi("stack", "init", "test");
  }

  #write(file: string, text: string): Promise<void> {
    return writeFile(file, text, { mode: 0o700 });
  }

  /** Sets the arguments of the next `pulumi`. */
  async args(args: object): Promise<void> {
    const server = { host: "127.0.0.1", port: this.#server.port, hostKey: hostKey.public };
    const all = { connection: { ...server, privateKey }, stdin: canary, ...args };
    await this.#write(join(this.#dir, "args.json"), JSON.stringify(all));
  }

  async pulumi(...args: string[]): Promise<RunResult> {
    const bins = [join(this.#dir, "bin"), join(root, "node_modules", ".bin")];
    const env = {
      HOME: this.#dir,
      PATH: [...bins, dirname(this.#engine.pulumi), process.env.PATH].join(delimiter),
      PULUMI_HOME: join(this.#dir, "home"),
      PULUMI_BACKEND_URL: `file://${join(this.#dir, "state")}`,
      PULUMI_CONFIG_PASSPHRASE: "test",
      PULUMI_SKIP_UPDATE_CHECK: "1",
      NODE_COMPILE_CACHE: join(this.#dir, "compile-cache"),
    };
    const options = { cwd: this.#dir, env, timeout: 60 };
    const result = await run(this.#engine.pulumi, [...args, "--non-interactive"], options);
    this.printed += result.stdout + result.stderr;
    return result;
  }

  /** Runs `up` and returns the commands that the server has run. */
  async up(args: object): Promise<string[]> {
    await this.args(args);
    return this.#watch(["up", "--yes", "--skip-preview", "--stack", "test"]);
  }

  async destroy(): Promise<string[]> {
    return this.#watch(["destroy", "--yes", "--skip-preview", "--stack", "test"]);
  }

  async #watch(args: string[]): Promise<string[]> {
    const from = this.#server.executions.length;
    const result = await this.pulumi(...args);
    assert.equal(result.code, 0, result.stdout + result.stderr);
    return this.#server.executions.slice(from);
  }

  stateText(): Promise<string> {
    return readFile(join(this.#dir, "state", ".pulumi", "stacks", "unit", "test.json"), "utf8");
  }
}

const script = (...path: string[]) => join(root, "sandbox", ...path);

const resource = z.object({ type: z.string(), outputs: z.record(z.string(), z.unknown()) });
const stateFile = z.object({
  checkpoint: z.object({ latest: z.object({ resources: z.array(resource.partial()) }) }),
});

describe("a remote command in a real `pulumi up`", { skip }, () => {
  const world = new World();
  let dir = "";
  let project: Project;

  before(async () => {
    dir = await mkdtemp(join(tmpdir(), "provider-command-"));
    if (!found) return;
    project = new Project(dir, found, world.server);
    await project.prepare();
  });
  after(() => rm(dir, { recursive: true, force: true }));

  test("runs once, then for each change, then at the end", async () => {
    const steps = { create: "print create", update: "print update", delete: "print delete" };
    const base = { ...steps, triggers: ["a"] };
    assert.deepEqual(await project.up(base), ["print create"]);
    assert.deepEqual(await project.up(base), [], "no change, no connection");
    assert.deepEqual(await project.up({ ...base, stdin: `${canary}2` }), ["print update"]);
    const triggered = { ...base, triggers: ["b"] };
    assert.deepEqual(await project.up(triggered), ["print create", "print delete"]);
    assert.deepEqual(await project.destroy(), ["print delete"]);
  });

  test("a failing command shows its output, and the next run tries again", async () => {
    await project.args({ create: "print details\nexit 7" });
    const result = await project.pulumi("up", "--yes", "--skip-preview", "--stack", "test");
    assert.notEqual(result.code, 0);
    assert.match(result.stdout + result.stderr, /Process exited with status 7: running "print/);
    assert.match(result.stdout + result.stderr, /details/);
    assert.deepEqual(await project.up({ create: "print fine" }), ["print fine"]);
  });

  test("an unknown field of the connection is refused without showing the key", {
    skip: realPlugin ? "the real plugin has the engine show it (pulumi-command issue 773)" : false,
  }, async () => {
    const connection = { host: "127.0.0.1", privateKey: canary, unknownField: 1 };
    await project.args({ create: "print never", connection });
    const result = await project.pulumi("preview", "--diff", "--stack", "test");
    assert.notEqual(result.code, 0);
    assert.match(result.stdout + result.stderr, /Unrecognized field 'unknownField'/);
  });

  test("a preview of a changed stdin connects to nothing", async () => {
    const before = world.server.connections;
    await project.args({ create: "print fine", stdin: `${canary}3` });
    const result = await project.pulumi("preview", "--diff", "--stack", "test");
    assert.equal(result.code, 0, result.stderr);
    assert.match(result.stdout, /stdin\s*:\s*\[secret\]/);
    assert.equal(world.server.connections, before);
  });

  test("secrets are in nothing that pulumi printed and lie encrypted in the state", async () => {
    const text = await project.stateText();
    assert.ok(!text.includes(canary), "in the state");
    const places = project.printed.split("\n").filter((line) => line.includes(canary));
    assert.deepEqual(places, [], "in what pulumi printed");
    const { resources } = stateFile.parse(JSON.parse(text)).checkpoint.latest;
    const made = resources.find(({ type }) => type === "command:remote:Command");
    assert.equal(made?.outputs?.stdout, "fine");
    assert.match(JSON.stringify(made?.outputs?.connection), /"ciphertext"/);
  });
});
