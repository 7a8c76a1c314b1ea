import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import {
  credentials,
  Server,
  ServerCredentials,
  type ServiceDefinition,
  type ServiceError,
} from "@grpc/grpc-js";
import engineGrpc from "@pulumi/pulumi/proto/engine_grpc_pb.js";
import type enginePb from "@pulumi/pulumi/proto/engine_pb.js";
import providerGrpc from "@pulumi/pulumi/proto/provider_grpc_pb.js";
import providerPb from "@pulumi/pulumi/proto/provider_pb.js";
import emptyPb from "google-protobuf/google/protobuf/empty_pb.js";
import structPb, { type JavaScriptValue } from "google-protobuf/google/protobuf/struct_pb.js";

/** Properties as they stand on the wire: secrets and unknowns are marked values. */
export type Properties = Record<string, JavaScriptValue>;

export const unknownString = "04da6b54-80e4-46f7-96ec-b56ff0331ba9";

/** Marks a value secret as the engine does. */
export function secret(value: JavaScriptValue): JavaScriptValue {
  return { "4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270", value };
}

/** One message that the plugin sent to the engine's log. */
export interface LogLine {
  severity: "debug" | "info" | "warning" | "error";
  message: string;
  urn: string;
  ephemeral: boolean;
}

const severities = ["debug", "info", "warning", "error"] as const;
const urnOf = (name: string, type: string) => `urn:pulumi:test::unit::${type}::${name}`;

/** A running plugin and the engine's log, spoken to as the engine does. */
export class Plugin {
  readonly log: LogLine[] = [];
  /** What the plugin itself printed after its port, on either stream. */
  printed = "";
  readonly type: string;
  #child: ChildProcess | undefined;
  #engine = new Server();
  #client: InstanceType<typeof providerGrpc.ResourceProviderClient> | undefined;

  constructor(type: string) {
    this.type = type;
  }

  /** Starts `command` with the engine's address and connects; rejects where no port is printed in 20 s. */
  async start(command: string[], env: NodeJS.ProcessEnv): Promise<void> {
    const address = await this.#serveEngine();
    const [file, ...args] = [...command, address];
    if (file === undefined) throw new Error("no plugin command");
    const child = spawn(file, args, { env, stdio: ["ignore", "pipe", "pipe"] });
    this.#child = child;
    child.stderr?.on("data", (chunk) => {
      this.printed += String(chunk);
    });
    const port = await this.#port(child);
    this.#client = new providerGrpc.ResourceProviderClient(
      `127.0.0.1:${port}`,
      credentials.createInsecure(),
      { "grpc.max_receive_message_length": -1, "grpc.max_send_message_length": -1 },
    );
  }

  async #serveEngine(): Promise<string> {
    const log: LogLine[] = this.log;
    // The generated d.ts describes the service by method; grpc-js wants an index signature.
    const service = engineGrpc.EngineService as unknown as ServiceDefinition;
    this.#engine.addService(service, {
      log: (call: { request: enginePb.LogRequest }, done: (e: null, r: emptyPb.Empty) => void) => {
        const request = call.request;
        log.push({
          severity: severities[request.getSeverity()] ?? "debug",
          message: request.getMessage(),
          urn: request.getUrn(),
          ephemeral: request.getEphemeral(),
        });
        done(null, new emptyPb.Empty());
      },
    });
    const port = await new Promise<number>((resolve, reject) =>
      this.#engine.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, bound) =>
        error ? reject(error) : resolve(bound),
      ),
    );
    return `127.0.0.1:${port}`;
  }

  #port(child: ChildProcess): Promise<number> {
    if (!child.stdout) throw new Error("no stdout");
    const lines = createInterface({ input: child.stdout });
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`no port in 20 s: ${this.printed}`)), 20_000);
      child.once("exit", (code) => reject(new Error(`plugin ended (${code}): ${this.printed}`)));
      let port: number | undefined;
      lines.on("line", (line) => {
        if (port !== undefined) {
          this.printed += `${line}\n`;
          return;
        }
        port = Number(line);
        clearTimeout(timer);
        resolve(port);
      });
    });
  }

  async stop(): Promise<void> {
    this.#client?.close();
    this.#engine.forceShutdown();
    const child = this.#child;
    if (!child || child.exitCode !== null) return;
    const gone = new Promise((resolve) => child.once("exit", resolve));
    child.kill("SIGKILL");
    await gone;
  }

  #call<Reply>(send: (done: (error: ServiceError | null, reply: Reply) => void) => unknown) {
    return new Promise<Reply>((resolve, reject) => {
      send((error, reply) => (error ? reject(new Error(error.details)) : resolve(reply)));
    });
  }

  get #connected() {
    if (!this.#client) throw new Error("plugin is not started");
    return this.#client;
  }

  async configure(): Promise<void> {
    const request = new providerPb.ConfigureRequest();
    request.setAcceptsecrets(true);
    request.setAcceptresources(true);
    request.setSendsOldInputs(true);
    request.setSendsOldInputsToDelete(true);
    request.setArgs(structPb.Struct.fromJavaScript({}));
    await this.#call<providerPb.ConfigureResponse>((done) =>
      this.#connected.configure(request, done),
    );
  }

  async check(news: Properties, olds: Properties = {}, name = "it") {
    const request = new providerPb.CheckRequest();
    request.setUrn(urnOf(name, this.type));
    request.setOlds(structPb.Struct.fromJavaScript(olds));
    request.setNews(structPb.Struct.fromJavaScript(news));
    request.setRandomseed(new Uint8Array(32));
    const reply = await this.#call<providerPb.CheckResponse>((done) =>
      this.#connected.check(request, done),
    );
    return {
      inputs: read(reply.getInputs()),
      failures: reply
        .getFailuresList()
        .map((f) => ({ property: f.getProperty(), reason: f.getReason() })),
    };
  }

  async diff(state: Properties, oldInputs: Properties, news: Properties, name = "it") {
    const request = new providerPb.DiffRequest();
    request.setId("id");
    request.setUrn(urnOf(name, this.type));
    request.setOlds(structPb.Struct.fromJavaScript(state));
    request.setOldInputs(structPb.Struct.fromJavaScript(oldInputs));
    request.setNews(structPb.Struct.fromJavaScript(news));
    const reply = await this.#call<providerPb.DiffResponse>((done) =>
      this.#connected.diff(request, done),
    );
    const kinds = ["add", "add&replace", "delete", "delete&replace", "update", "update&replace"];
    const detailed: Record<string, string> = {};
    reply.getDetaileddiffMap().forEach((d, path) => {
      detailed[path] = kinds[d.getKind()] ?? "?";
    });
    return {
      changes: ["unknown", "none", "some"][reply.getChanges()],
      replaces: reply.getReplacesList(),
      detailed,
    };
  }

  async create(inputs: Properties, { preview = false, timeout = 0, name = "it" } = {}) {
    const request = new providerPb.CreateRequest();
    request.setUrn(urnOf(name, this.type));
    request.setProperties(structPb.Struct.fromJavaScript(inputs));
    request.setPreview(preview);
    request.setTimeout(timeout);
    const reply = await this.#call<providerPb.CreateResponse>((done) =>
      this.#connected.create(request, done),
    );
    return { id: reply.getId(), state: read(reply.getProperties()) };
  }

  async update(
    state: Properties,
    oldInputs: Properties,
    news: Properties,
    { preview = false, name = "it" } = {},
  ) {
    const request = new providerPb.UpdateRequest();
    request.setId("id");
    request.setUrn(urnOf(name, this.type));
    request.setOlds(structPb.Struct.fromJavaScript(state));
    request.setOldInputs(structPb.Struct.fromJavaScript(oldInputs));
    request.setNews(structPb.Struct.fromJavaScript(news));
    request.setPreview(preview);
    return read(
      (
        await this.#call<providerPb.UpdateResponse>((done) => this.#connected.update(request, done))
      ).getProperties(),
    );
  }

  async delete(state: Properties, inputs: Properties, name = "it"): Promise<void> {
    const request = new providerPb.DeleteRequest();
    request.setId("id");
    request.setUrn(urnOf(name, this.type));
    request.setProperties(structPb.Struct.fromJavaScript(state));
    request.setOldInputs(structPb.Struct.fromJavaScript(inputs));
    await this.#call<emptyPb.Empty>((done) => this.#connected.delete(request, done));
  }

  async read(state: Properties, inputs: Properties, name = "it") {
    const request = new providerPb.ReadRequest();
    request.setId("id");
    request.setUrn(urnOf(name, this.type));
    request.setProperties(structPb.Struct.fromJavaScript(state));
    request.setInputs(structPb.Struct.fromJavaScript(inputs));
    const reply = await this.#call<providerPb.ReadResponse>((done) =>
      this.#connected.read(request, done),
    );
    return {
      id: reply.getId(),
      state: read(reply.getProperties()),
      inputs: read(reply.getInputs()),
    };
  }

  async cancel(): Promise<void> {
    await this.#call<emptyPb.Empty>((done) => this.#connected.cancel(new emptyPb.Empty(), done));
  }
}

function read(struct: structPb.Struct | undefined): Properties {
  return struct?.toJavaScript() ?? {};
}
