import type * as grpc from "@grpc/grpc-js";
import { status } from "@grpc/grpc-js";
import plugin from "@pulumi/pulumi/proto/plugin_pb.js";
import pb from "@pulumi/pulumi/proto/provider_pb.js";
import empty from "google-protobuf/google/protobuf/empty_pb.js";
import { checkConfig, configure, diffConfig } from "./config.ts";
import type { Changes } from "./diff.ts";
import { rootOf } from "./diff.ts";
import { initFailure } from "./failure.ts";
import type { Resource } from "./provider.ts";
import { PartialFailure } from "./provider.ts";
import { checkResponse, diffResponse } from "./responses.ts";
import type { ResourceSchema } from "./schema.ts";
import { problemsOf } from "./schema.ts";
import { mark } from "./secrecy.ts";
import type { Session } from "./session.ts";
import { fromStruct, toStruct } from "./struct.ts";
import type { Properties, WireProperties } from "./values.ts";
import { markPropertiesLike, markSecret, plainProperties, unknown } from "./values.ts";

/** The gRPC methods of a provider; those that stand-ins don't need answer UNIMPLEMENTED. */
export function handlersOf(session: Session): grpc.UntypedServiceImplementation {
  const { provider } = session;
  return {
    handshake: unary(() => {
      const response = new pb.ProviderHandshakeResponse();
      response.setAcceptSecrets(true);
      response.setSupportsAutonamingConfiguration(true);
      return response;
    }),
    attach: unary((request: plugin.PluginAttach) => {
      session.attach(request.getAddress());
      return new empty.Empty();
    }),
    getPluginInfo: unary(() => {
      const response = new plugin.PluginInfo();
      response.setVersion(provider.schema.version);
      return response;
    }),
    checkConfig: unary((request: pb.CheckRequest) => checkConfig(provider, request)),
    diffConfig: unary(diffConfig),
    configure: unary((request: pb.ConfigureRequest) => configure(provider, request)),
    check: unary((request: pb.CheckRequest) => check(session, request)),
    diff: unary((request: pb.DiffRequest) => diff(session, request)),
    create: unary((request: pb.CreateRequest) => create(session, request)),
    read: unary((request: pb.ReadRequest) => read(session, request)),
    update: unary((request: pb.UpdateRequest) => update(session, request)),
    delete: unary((request: pb.DeleteRequest) => remove(session, request)),
    cancel: unary(() => {
      session.cancel();
      return new empty.Empty();
    }),
  };
}

function unary<Request, Response>(
  work: (request: Request) => Response | Promise<Response>,
): grpc.handleUnaryCall<Request, Response> {
  return (call, callback) => {
    new Promise<Response>((resolve) => resolve(work(call.request))).then(
      (response) => callback(null, response),
      (error: unknown) => callback(toServiceError(error)),
    );
  };
}

function toServiceError(error: unknown): Partial<grpc.StatusObject> {
  if (error instanceof InitFailure) return initFailure(error.failure, error.outputs);
  return {
    code: status.UNKNOWN,
    details: error instanceof Error ? error.message : String(error),
  };
}

/** A PartialFailure whose outputs carry their marks of secrecy. */
class InitFailure extends Error {
  readonly failure: PartialFailure;
  readonly outputs: WireProperties;
  constructor(failure: PartialFailure, outputs: WireProperties) {
    super(failure.message);
    this.failure = failure;
    this.outputs = outputs;
  }
}

const autonamingModes = ["propose", "enforce", "disable"] as const;

async function check(session: Session, request: pb.CheckRequest): Promise<pb.CheckResponse> {
  const { resource, schema } = session.resource(request.getUrn(), "Check");
  const context = session.request(request.getUrn());
  const wire = withoutNulls(fromStruct(request.getNews()));
  const autonaming = request.getAutonaming();
  const news = plainProperties(wire);
  const result = (await resource.check?.({
    ...context,
    olds: request.hasOlds() ? plainProperties(fromStruct(request.getOlds())) : null,
    news,
    randomSeed: request.getRandomseed_asU8(),
    autonaming:
      autonaming === undefined
        ? null
        : {
            mode: autonamingModes[autonaming.getMode()] ?? "propose",
            proposedName: autonaming.getProposedName(),
          },
  })) ?? { inputs: news };
  const problems = problemsOf(result.inputs, schema.inputs);
  const failures = [
    ...problems.map((problem) => session.provider.messages(problem, context.name)),
    ...(problems.length > 0 ? [] : (result.failures ?? [])),
  ];
  const marked = markPropertiesLike(result.inputs, wire);
  return checkResponse(markSecret(marked, resource.secretOutputs ?? []), failures);
}

function withoutNulls(properties: WireProperties): WireProperties {
  return Object.fromEntries(Object.entries(properties).filter(([, value]) => value !== null));
}

async function diff(session: Session, request: pb.DiffRequest): Promise<pb.DiffResponse> {
  const { resource } = session.resource(request.getUrn(), "Diff");
  const result = await resource.diff({
    ...session.request(request.getUrn()),
    id: request.getId(),
    oldInputs: plainProperties(fromStruct(request.getOldInputs())),
    oldState: plainProperties(fromStruct(request.getOlds())),
    news: plainProperties(fromStruct(request.getNews())),
    ignoreChanges: request.getIgnorechangesList(),
  });
  const changes = withoutIgnored(result.changes, request.getIgnorechangesList());
  return diffResponse({ ...result, changes });
}

/** Drops what the program's `ignoreChanges` names (by the property at the root of its path). */
function withoutIgnored(changes: Changes, ignored: string[]): Changes {
  const roots = new Set(ignored.map(rootOf));
  return new Map([...changes].filter(([path]) => !roots.has(rootOf(path)) && !roots.has("*")));
}

function previewOf(
  resource: Resource,
  schema: ResourceSchema,
  request: Parameters<NonNullable<Resource["preview"]>>[0],
): Properties {
  if (resource.preview !== undefined) return resource.preview(request);
  const computed = Object.keys(schema.outputs).map((name) => [
    name,
    request.oldState?.[name] ?? (request.oldState === null ? unknown : null),
  ]);
  return { ...Object.fromEntries(computed), ...request.inputs };
}

async function create(session: Session, request: pb.CreateRequest): Promise<pb.CreateResponse> {
  const { resource, schema } = session.resource(request.getUrn(), "Create");
  const context = session.request(request.getUrn(), request.getTimeout());
  const wire = fromStruct(request.getProperties());
  const inputs = plainProperties(wire);
  const response = new pb.CreateResponse();
  if (request.getPreview()) {
    const news = { inputs, oldState: null, oldInputs: null, ignoreChanges: [] };
    const outputs = previewOf(resource, schema, { ...context, ...news });
    response.setProperties(toStruct(mark(session, resource, outputs, wire)));
    return response;
  }
  const { id, outputs } = await marking(session, resource, [wire], () =>
    resource.create({ ...context, inputs }),
  );
  response.setId(id);
  response.setProperties(toStruct(mark(session, resource, outputs, wire)));
  return response;
}

/** Lets log lines arrive before the answer, and marks the secrets of a partial result. */
async function marking<Result>(
  session: Session,
  resource: Resource,
  sources: WireProperties[],
  work: () => Promise<Result>,
): Promise<Result> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof PartialFailure)) throw error;
    throw new InitFailure(error, mark(session, resource, error.outputs, ...sources));
  } finally {
    await session.flush();
  }
}

async function read(session: Session, request: pb.ReadRequest): Promise<pb.ReadResponse> {
  const { resource } = session.resource(request.getUrn(), "Read");
  const state = fromStruct(request.getProperties());
  const inputs = fromStruct(request.getInputs());
  const response = new pb.ReadResponse();
  if (resource.read === undefined) {
    response.setId(request.getId());
    response.setProperties(toStruct(state));
    response.setInputs(toStruct(inputs));
    return response;
  }
  const isRefresh = Object.keys(state).length > 0;
  const result = await resource.read({
    ...session.request(request.getUrn(), request.getTimeout()),
    id: request.getId(),
    state: isRefresh ? plainProperties(state) : null,
    inputs: isRefresh ? plainProperties(inputs) : null,
  });
  if (result === null) return response;
  response.setId(result.id);
  response.setProperties(toStruct(mark(session, resource, result.outputs, state, inputs)));
  const marked = markPropertiesLike(result.inputs, inputs);
  response.setInputs(toStruct(markSecret(marked, resource.secretOutputs ?? [])));
  return response;
}

async function update(session: Session, request: pb.UpdateRequest): Promise<pb.UpdateResponse> {
  const { resource, schema } = session.resource(request.getUrn(), "Update");
  const context = session.request(request.getUrn(), request.getTimeout());
  const wire = fromStruct(request.getNews());
  const oldWire = fromStruct(request.getOlds());
  const news = plainProperties(wire);
  const olds = {
    oldState: plainProperties(oldWire),
    oldInputs: plainProperties(fromStruct(request.getOldInputs())),
    ignoreChanges: request.getIgnorechangesList(),
  };
  const response = new pb.UpdateResponse();
  const finish = (outputs: Properties) => {
    response.setProperties(toStruct(mark(session, resource, outputs, wire)));
    return response;
  };
  if (request.getPreview()) {
    return finish(previewOf(resource, schema, { ...context, ...olds, inputs: news }));
  }
  const work = resource.update?.bind(resource);
  if (work === undefined) throw new Error(`${request.getUrn()} can only be replaced`);
  return finish(
    await marking(session, resource, [wire], () =>
      work({ ...context, ...olds, id: request.getId(), news }),
    ),
  );
}

async function remove(session: Session, request: pb.DeleteRequest): Promise<empty.Empty> {
  const { resource } = session.resource(request.getUrn(), "Delete");
  await marking(session, resource, [], async () =>
    resource.delete?.({
      ...session.request(request.getUrn(), request.getTimeout()),
      id: request.getId(),
      inputs: plainProperties(fromStruct(request.getOldInputs())),
      state: plainProperties(fromStruct(request.getProperties())),
    }),
  );
  return new empty.Empty();
}
