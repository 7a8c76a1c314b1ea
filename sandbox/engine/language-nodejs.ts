// Stands in for Pulumi's language host for Node where the official one can't be had: the engine starts it,
// reads the port of its gRPC service from its first line, and has it run the program.
import { type ChildProcess, spawn } from "node:child_process";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { join } from "node:path";
import type { handleUnaryCall } from "@grpc/grpc-js";
import grpc from "@grpc/grpc-js";
import languageServices from "@pulumi/pulumi/proto/language_grpc_pb.js";
import type * as language from "@pulumi/pulumi/proto/language_pb.js";
import languageMessages from "@pulumi/pulumi/proto/language_pb.js";
import type * as plugin from "@pulumi/pulumi/proto/plugin_pb.js";
import pluginMessages from "@pulumi/pulumi/proto/plugin_pb.js";
import sdk from "@pulumi/pulumi/version.js";
import {
  type Manifest,
  parseManifest,
  parseRuntimeOptions,
  type RuntimeOptions,
} from "./project-files.ts";
import { nodeOptions } from "./wrapper.ts";

type Handler<Request, Response> = (request: Request) => Response | Promise<Response>;

const running = new Set<ChildProcess>();

/** The program has told the user what is wrong itself. */
const exitAfterReport = 32;

const require = createRequire(import.meta.url);

async function runProgram(
  request: language.RunRequest,
  engineAddress: string,
): Promise<language.RunResponse> {
  const response = new languageMessages.RunResponse();
  let options: RuntimeOptions;
  try {
    options = parseRuntimeOptions(request.getInfo()?.getOptions()?.toJavaScript());
  } catch (error) {
    return response.setError(error instanceof Error ? error.message : String(error));
  }
  const env: NodeJS.ProcessEnv = {
    ...process.env,
    PULUMI_CONFIG: JSON.stringify(Object.fromEntries(request.getConfigMap().toArray())),
    PULUMI_CONFIG_SECRET_KEYS: JSON.stringify(request.getConfigsecretkeysList()),
    PULUMI_NODEJS_TYPESCRIPT: String(options.typescript),
    ...(options.tsconfig && { PULUMI_NODEJS_TSCONFIG_PATH: options.tsconfig }),
  };
  const code = await runNode(runArguments(request, engineAddress), request.getPwd(), env);
  if (code === exitAfterReport) return response.setBail(true);
  return code === 0
    ? response
    : response.setError(`Program exited with non-zero exit code: ${code}`);
}

function runArguments(request: language.RunRequest, engineAddress: string): string[] {
  const info = request.getInfo();
  const programDirectory = info?.getProgramDirectory() || request.getPwd();
  return [
    ...nodeOptions,
    require.resolve("@pulumi/pulumi/cmd/run", { paths: [programDirectory] }),
    ...["--monitor", request.getMonitorAddress()],
    ...["--engine", engineAddress],
    ...["--organization", request.getOrganization()],
    ...["--project", request.getProject()],
    ...["--root-directory", info?.getRootDirectory() ?? programDirectory],
    ...["--stack", request.getStack()],
    ...["--pwd", request.getPwd()],
    ...["--parallel", String(request.getParallel())],
    ...(request.getDryrun() ? ["--dry-run"] : []),
    info?.getEntryPoint() || request.getProgram() || ".",
    ...request.getArgsList(),
  ];
}

/** What the program prints is ours: the engine shows it as the program's. Resolves with the exit code. */
function runNode(args: string[], cwd: string, env: NodeJS.ProcessEnv): Promise<number | string> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, args, {
      cwd,
      env,
      stdio: ["ignore", "inherit", "inherit"],
    });
    running.add(child);
    child.on("error", reject);
    child.on("exit", (code, signal) => {
      running.delete(child);
      resolve(code ?? signal ?? 1);
    });
  });
}

async function readManifest(name: string, directory: string): Promise<Manifest> {
  return parseManifest(name, await readFile(join(directory, "package.json"), "utf8"));
}

/** The project's direct dependencies with what their own manifests say. */
async function dependencies(info: language.ProgramInfo | undefined): Promise<[string, Manifest][]> {
  const root = info?.getRootDirectory() ?? process.cwd();
  const { dependencies: names } = await readManifest("", root);
  return Promise.all(
    names.map(
      async (name): Promise<[string, Manifest]> => [
        name,
        await readManifest(name, join(root, "node_modules", name)),
      ],
    ),
  );
}

async function requiredPackages(
  request: language.GetRequiredPackagesRequest,
): Promise<plugin.PackageDependency[]> {
  const all = await dependencies(request.getInfo());
  return all.flatMap(([, { plugin, version }]) =>
    plugin === undefined
      ? []
      : new pluginMessages.PackageDependency()
          .setName(plugin)
          .setKind("resource")
          .setVersion(`v${version}`),
  );
}

async function programDependencies(
  request: language.GetProgramDependenciesRequest,
): Promise<language.DependencyInfo[]> {
  const all = await dependencies(request.getInfo());
  return all.map(([name, { version }]) =>
    new languageMessages.DependencyInfo().setName(name).setVersion(version),
  );
}

/** Makes a gRPC handler of a function; what it throws reaches the engine as the error's text. */
function answer<Request, Response>(
  handler: Handler<Request, Response>,
): handleUnaryCall<Request, Response> {
  return (call, callback) => {
    Promise.resolve(call.request)
      .then(handler)
      .then((response) => callback(null, response))
      .catch((error: unknown) =>
        callback({
          code: grpc.status.UNKNOWN,
          message: error instanceof Error ? error.message : String(error),
        }),
      );
  };
}

function handlers(engineAddress: string) {
  return {
    handshake: answer(() => new languageMessages.LanguageHandshakeResponse()),
    getPluginInfo: answer(() => new pluginMessages.PluginInfo().setVersion(sdk.version)),
    getRequiredPackages: answer(async (request: language.GetRequiredPackagesRequest) =>
      new languageMessages.GetRequiredPackagesResponse().setPackagesList(
        await requiredPackages(request),
      ),
    ),
    getProgramDependencies: answer(async (request: language.GetProgramDependenciesRequest) =>
      new languageMessages.GetProgramDependenciesResponse().setDependenciesList(
        await programDependencies(request),
      ),
    ),
    about: answer(() =>
      new languageMessages.AboutResponse()
        .setExecutable(process.execPath)
        .setVersion(process.version),
    ),
    runtimeOptionsPrompts: answer(() => new languageMessages.RuntimeOptionsResponse()),
    run: answer((request: language.RunRequest) => runProgram(request, engineAddress)),
  };
}

/** An engine that was killed ends nobody: without it nothing here has a purpose. */
function endWithEngine(): void {
  const engine = process.ppid;
  setInterval(() => {
    if (process.ppid === engine) return;
    for (const child of running) child.kill();
    process.exit(1);
  }, 1000).unref();
}

function main(): void {
  const engineAddress = process.argv.slice(2).find((argument) => !argument.startsWith("-"));
  if (!engineAddress) {
    console.error("This is started by the Pulumi engine, with its address as argument.");
    process.exit(1);
  }
  const server = new grpc.Server();
  server.addService(languageServices.LanguageRuntimeService, handlers(engineAddress));
  server.bindAsync("127.0.0.1:0", grpc.ServerCredentials.createInsecure(), (error, port) => {
    if (error) throw error;
    endWithEngine(); // before anybody knows the port: an engine may be killed as soon as it does
    process.stdout.write(`${port}\n`);
  });
}

main();
