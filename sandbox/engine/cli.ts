import { access, constants, readFile, rename, rm, stat } from "node:fs/promises";
import { delimiter, dirname, join } from "node:path";
import { z } from "zod";
import { ifExists } from "../files.ts";
import { paths, root } from "../paths.ts";
import { lastLines, mustRun, run } from "../process.ts";
import { BuildProgress } from "./build-progress.ts";

export interface Engine {
  kind: "official" | "built";
  /** The executable. */
  pulumi: string;
}

const builtCli = join(paths.engine, "pulumi");
const cliPackage = "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi";
const leastGo = [1, 26] as const;

let official: Promise<string | undefined> | undefined;

/** The official CLI on the PATH, if it runs and has its language host; looked for once in a process. */
export function officialCli(): Promise<string | undefined> {
  official ??= findOfficialCli();
  return official;
}

/** The engine in use; throws where setup has not made one yet. */
export async function engine(): Promise<Engine> {
  const found = await officialCli();
  if (found) return { kind: "official", pulumi: found };
  if (await isExecutable(builtCli)) return { kind: "built", pulumi: builtCli };
  throw new Error("The sandbox has no Pulumi engine yet: run `npm run sandbox -- setup`.");
}

/** Builds the CLI where no official one is and none was built; `report` gets a line of progress. */
export async function ensureCli(report: (line: string) => void): Promise<void> {
  if ((await officialCli()) || (await isCurrent())) return;
  const go = await findGo();
  const cache = join(paths.engine, "cache");
  const env = {
    ...process.env,
    GOPATH: join(cache, "path"),
    GOMODCACHE: join(cache, "mod"),
    GOCACHE: join(cache, "build"),
    GOTOOLCHAIN: "local",
    CGO_ENABLED: "0",
  };
  const options = { cwd: join(root, "sandbox", "engine", "cli"), env };
  const progress = new BuildProgress();
  const onLine = (line: string) => report(progress.line(line));

  report("Downloading Go modules");
  const flags = ["-modcacherw", "-buildvcs=false"];
  const packages = await mustRun(go, ["list", "-deps", ...flags, cliPackage], {
    ...options,
    onLine,
  });
  progress.expect(packages.trim().split("\n").length);

  const fresh = `${builtCli}.new`;
  const version = `github.com/pulumi/pulumi/sdk/v3/go/common/version.Version=v${await pinnedVersion()}`;
  const ldflags = `-s -w -X ${version}`;
  const build = [
    "build",
    "-v",
    ...flags,
    "-trimpath",
    "-ldflags",
    ldflags,
    "-o",
    fresh,
    cliPackage,
  ];
  await mustRun(go, build, { ...options, onLine });
  await rename(fresh, builtCli);
  await rm(cache, { recursive: true, force: true });
}

/** The version of the SDK that package.json pins; the built CLI has the same. */
export async function pinnedVersion(): Promise<string> {
  const file = join(root, "node_modules", "@pulumi", "pulumi", "package.json");
  return z.object({ version: z.string() }).parse(JSON.parse(await readFile(file, "utf8"))).version;
}

async function isCurrent(): Promise<boolean> {
  if (!(await isExecutable(builtCli))) return false;
  const result = await run(builtCli, ["version"], { env: quietEnv() });
  return result.code === 0 && result.stdout.trim() === `v${await pinnedVersion()}`;
}

async function findOfficialCli(): Promise<string | undefined> {
  const pulumi = await findOnPath("pulumi", [paths.engine]);
  if (!pulumi) return undefined;
  const host = "pulumi-language-nodejs";
  const hasHost =
    (await isExecutable(join(dirname(pulumi), host))) || (await findOnPath(host, [paths.engine]));
  if (!hasHost) return undefined;
  const works = (await run(pulumi, ["version"], { env: quietEnv(), timeout: 20 })).code === 0;
  return works ? pulumi : undefined;
}

/** Even `pulumi version` writes logs to its home and asks for news. */
function quietEnv(): NodeJS.ProcessEnv {
  return { ...process.env, PULUMI_HOME: paths.pulumiHome, PULUMI_SKIP_UPDATE_CHECK: "1" };
}

async function findGo(): Promise<string> {
  const go = (await findOnPath("go")) ?? "/usr/local/go/bin/go"; // where Go's own archive is unpacked to
  const wanted = `Go >= ${leastGo.join(".")}`;
  const result = await run(go, ["env", "GOVERSION"], {
    env: { ...process.env, GOTOOLCHAIN: "local" },
  });
  if (result.code === 127) {
    throw new Error(`Neither the Pulumi CLI nor ${wanted} is on the PATH: install one of them.`);
  }
  if (result.code !== 0) throw new Error(`${go} doesn't run: ${lastLines(result.stderr, 1)}`);
  if (!isRecentGo(result.stdout.trim())) {
    throw new Error(
      `${result.stdout.trim()} is too old to build the Pulumi CLI: install ${wanted} or the Pulumi CLI.`,
    );
  }
  return go;
}

/** `version` as `go env GOVERSION` prints it: go1.26.8, go1.27rc1. */
export function isRecentGo(version: string): boolean {
  const match = /^go(\d+)\.(\d+)/.exec(version);
  if (!match) return false;
  const [major, minor] = [Number(match[1]), Number(match[2])];
  return major > leastGo[0] || (major === leastGo[0] && minor >= leastGo[1]);
}

async function findOnPath(name: string, except: string[] = []): Promise<string | undefined> {
  const dirs = (process.env.PATH ?? "")
    .split(delimiter)
    .filter((dir) => dir && !except.includes(dir));
  for (const dir of dirs) {
    if (await isExecutable(join(dir, name))) return join(dir, name);
  }
  return undefined;
}

async function isExecutable(file: string): Promise<boolean> {
  if (!(await ifExists(stat(file)))?.isFile()) return false;
  return access(file, constants.X_OK).then(
    () => true,
    () => false,
  );
}
