import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { credentials, type ServiceError } from "@grpc/grpc-js";
import { ResourceProviderClient } from "@pulumi/pulumi/proto/provider_grpc_pb.js";
import pb from "@pulumi/pulumi/proto/provider_pb.js";
import statusPb from "@pulumi/pulumi/proto/status_pb.js";
import empty from "google-protobuf/google/protobuf/empty_pb.js";
import struct, { type JavaScriptValue } from "google-protobuf/google/protobuf/struct_pb.js";
import { root } from "../../../sandbox/paths.ts";

/** Properties as they stand on the wire: secrets and unknowns are marked values. */
export type Properties = Record<string, JavaScriptValue>;

export const unknown = "04da6b54-80e4-46f7-96ec-b56ff0331ba9";
const signature = "4dabf18193072939515e22adb298388d";
const secretMark = "1b47061264138c4ac30d75fd1eb44270";

export const secret = (value: JavaScriptValue): JavaScriptValue => ({
  [signature]: secretMark,
  value,
});

/** What a secret hides; fails on what is none. */
export function reveal(value: JavaScriptValue | undefined): JavaScriptValue {
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw notSecret(value);
  const fields = new Map(Object.entries(value));
  const inner = fields.get("value");
  if (fields.get(signature) !== secretMark || inner === undefined) throw notSecret(value);
  return inner;
}
const notSecret = (value: unknown) => new Error(`${JSON.stringify(value)} is no secret`);

/** The error of a resource that exists but is not ready. */
export class InitFailed extends Error {
  readonly id: string;
  readonly state: Properties;
  constructor(id: string, state: Properties, reasons: string[]) {
    super(reasons.join("\n"));
    this.id = id;
    this.state = state;
  }
}

const toStruct = (properties: Properties) => struct.Struct.fromJavaScript(properties);
const read = (value: struct.Struct | undefined): Properties => value?.toJavaScript() ?? {};

const kinds = ["add", "add&replace", "delete", "delete&replace", "update", "update&replace"];

/** A plugin's process, spoken to as the engine does; standard input is held as the engine holds it. */
export class Plugin {
  readonly #child: ChildProcess;
  readonly #client: ResourceProviderClient;

  private constructor(child: ChildProcess, client: ResourceProviderClient) {
    this.#child = child;
    this.#client = client;
  }

  static async start(name: string, env: NodeJS.ProcessEnv = {}): Promise<Plugin> {
    const script = join(root, "sandbox", "providers", `${name}.ts`);
    const child = spawn(process.execPath, [script, "127.0.0.1:1"], {
      env: { ...process.env, ...env },
      stdio: ["pipe", "pipe", "inherit"],
    });
    const [port] = await once(child.stdout, "data");
    const address = `127.0.0.1:${String(port).trim()}`;
    return new Plugin(child, new ResourceProviderClient(address, credentials.createInsecure()));
  }

  /** Lets go of standard input, as an engine that ends; returns the exit code. */
  async stop(): Promise<number | null> {
    this.#client.close();
    const ended = once(this.#child, "exit");
    this.#child.stdin?.end();
    const [code] = await ended;
    return code;
  }

  async configure(args: Properties = {}): Promise<void> {
    const request = new pb.ConfigureRequest();
    request.setArgs(toStruct(args));
    await call<pb.ConfigureResponse>((done) => this.#client.configure(request, done));
  }

  async checkConfig(news: Properties): Promise<string[]> {
    const request = new pb.CheckRequest();
    request.setUrn("urn:pulumi:test::unit::pulumi:providers:x::default");
    request.setNews(toStruct(news));
    const reply = await call<pb.CheckResponse>((done) => this.#client.checkConfig(request, done));
    return reply.getFailuresList().map((failure) => failure.getReason());
  }

  of(type: string): PluginResource {
    return new PluginResource(this.#client, type);
  }

  async cancel(): Promise<void> {
    await call<empty.Empty>((done) => this.#client.cancel(new empty.Empty(), done));
  }
}

/** Requests about one resource of a type, named "it". */
export class PluginResource {
  readonly #client: ResourceProviderClient;
  readonly #urn: string;

  constructor(client: ResourceProviderClient, type: string) {
    this.#client = client;
    this.#urn = `urn:pulumi:test::unit::${type}::it`;
  }

  async check(news: Properties, olds?: Properties) {
    const request = new pb.CheckRequest();
    request.setUrn(this.#urn);
    if (olds !== undefined) request.setOlds(toStruct(olds));
    request.setNews(toStruct(news));
    request.setRandomseed(Uint8Array.from({ length: 32 }, () => Math.floor(Math.random() * 256)));
    const reply = await call<pb.CheckResponse>((done) => this.#client.check(request, done));
    const failures = reply.getFailuresList().map((failure) => failure.getReason());
    return { inputs: read(reply.getInputs()), failures };
  }

  /** Fails on inputs that are refused. */
  async checked(news: Properties, olds?: Properties): Promise<Properties> {
    const { inputs, failures } = await this.check(news, olds);
    if (failures.length > 0) throw new Error(failures.join("\n"));
    return inputs;
  }

  async diff(state: Properties, news: Properties, ignoreChanges: string[] = []) {
    const request = new pb.DiffRequest();
    request.setId("1");
    request.setUrn(this.#urn);
    request.setOlds(toStruct(state));
    request.setOldInputs(toStruct({}));
    request.setNews(toStruct(await this.checked(news)));
    request.setIgnorechangesList(ignoreChanges);
    const reply = await call<pb.DiffResponse>((done) => this.#client.diff(request, done));
    const detailed: Record<string, string> = {};
    for (const [path, diff] of reply.getDetaileddiffMap().entries()) {
      detailed[path] = kinds[diff.getKind()] ?? "?";
    }
    return {
      detailed,
      replaces: reply.getReplacesList(),
      deleteFirst: reply.getDeletebeforereplace(),
      any: reply.getChanges() === pb.DiffResponse.DiffChanges.DIFF_SOME,
    };
  }

  async create(news: Properties, { preview = false, timeout = 0 } = {}) {
    const inputs = await this.checked(news);
    const request = new pb.CreateRequest();
    request.setUrn(this.#urn);
    request.setProperties(toStruct(inputs));
    request.setPreview(preview);
    request.setTimeout(timeout);
    const reply = await call<pb.CreateResponse>((done) => this.#client.create(request, done));
    return { id: reply.getId(), state: read(reply.getProperties()), inputs };
  }

  async update(
    made: { id: string; state: Properties; inputs: Properties },
    news: Properties,
    { preview = false, ignoreChanges }: { preview?: boolean; ignoreChanges?: string[] } = {},
  ) {
    const inputs = await this.checked(news, made.inputs);
    const request = new pb.UpdateRequest();
    request.setId(made.id);
    request.setUrn(this.#urn);
    request.setOlds(toStruct(made.state));
    request.setOldInputs(toStruct(made.inputs));
    request.setNews(toStruct(inputs));
    request.setPreview(preview);
    request.setIgnorechangesList(ignoreChanges ?? []);
    const reply = await call<pb.UpdateResponse>((done) => this.#client.update(request, done));
    return { id: made.id, state: read(reply.getProperties()), inputs };
  }

  async delete({ id, state, inputs }: { id: string; state: Properties; inputs: Properties }) {
    const request = new pb.DeleteRequest();
    request.setId(id);
    request.setUrn(this.#urn);
    request.setProperties(toStruct(state));
    request.setOldInputs(toStruct(inputs));
    await call<empty.Empty>((done) => this.#client.delete(request, done));
  }

  /** A refresh with a state, an import without; `null` if it is gone. */
  async read(id: string, known?: { state: Properties; inputs: Properties }) {
    const request = new pb.ReadRequest();
    request.setId(id);
    request.setUrn(this.#urn);
    if (known !== undefined) {
      request.setProperties(toStruct(known.state));
      request.setInputs(toStruct(known.inputs));
    }
    const reply = await call<pb.ReadResponse>((done) => this.#client.read(request, done));
    if (reply.getId() === "") return null;
    const [state, inputs] = [read(reply.getProperties()), read(reply.getInputs())];
    return { id: reply.getId(), state, inputs };
  }
}

function call<Reply>(
  send: (done: (error: ServiceError | null, reply: Reply) => void) => unknown,
): Promise<Reply> {
  return new Promise((resolve, reject) => {
    send((error, reply) => (error === null ? resolve(reply) : reject(readError(error))));
  });
}

function readError(error: ServiceError): Error {
  const [packed] = error.metadata.get("grpc-status-details-bin");
  if (!(packed instanceof Buffer)) return new Error(error.details);
  const [detail] = statusPb.Status.deserializeBinary(packed).getDetailsList();
  if (detail?.getTypeName() !== "pulumirpc.ErrorResourceInitFailed")
    return new Error(error.details);
  const failed = pb.ErrorResourceInitFailed.deserializeBinary(detail.getValue_asU8());
  return new InitFailed(failed.getId(), read(failed.getProperties()), failed.getReasonsList());
}
