import type { Provider, Request, Resource } from "./provider.ts";
import type { ResourceSchema } from "./schema.ts";

const severities = { debug: 0, info: 1, status: 1, warning: 2, error: 3 } as const;

/** How long a line may take to the engine before it is given up. */
const logMilliseconds = 5000;

/** One run of a plugin: what it serves, to which engine, and whether it has been cancelled. */
export class Session {
  readonly provider: Provider;
  #engineAddress: string;
  #cancellation = new AbortController();
  #sending: Promise<void> = Promise.resolve();

  constructor(provider: Provider, engineAddress: string) {
    this.provider = provider;
    this.#engineAddress = engineAddress;
  }

  attach(engineAddress: string): void {
    this.#engineAddress = engineAddress;
  }

  /** The user has interrupted the run; the engine waits for what is under way. */
  cancel(): void {
    if (this.provider.whenCancelled !== "finish") this.end();
  }

  /** Nobody waits for an answer any more. */
  end(): void {
    this.#cancellation.abort(new Error("cancelled"));
  }

  /** @throws Error if this plugin has no such type. */
  resource(urn: string, method: string): { resource: Resource; schema: ResourceSchema } {
    const type = typeOf(urn);
    const resource = this.provider.resources[type];
    const schema = this.provider.schema.resources[type];
    if (resource === undefined || schema === undefined) {
      throw new Error(`unrecognized resource type (${method}): ${type}`);
    }
    return { resource, schema };
  }

  request(urn: string, timeoutSeconds = 0): Request {
    return {
      urn,
      name: nameOf(urn),
      signal: this.#cancellation.signal,
      timeoutSeconds: timeoutSeconds > 0 ? timeoutSeconds : undefined,
      log: (severity, message) => {
        this.#sending = this.#sending.then(() => this.#send(urn, severity, message));
      },
    };
  }

  /** Resolves when all log lines have reached the engine. */
  async flush(): Promise<void> {
    await this.#sending;
  }

  #client:
    | Promise<(urn: string, severity: keyof typeof severities, text: string) => Promise<void>>
    | undefined;

  async #send(urn: string, severity: keyof typeof severities, text: string): Promise<void> {
    this.#client ??= connectLog(this.#engineAddress);
    const send = await this.#client;
    await send(urn, severity, text);
  }
}

/** Loaded on the first line only: a run without one starts faster. Lines are lost if the engine is. */
async function connectLog(address: string) {
  const [grpc, engineGrpc, { default: engine }] = await Promise.all([
    import("@grpc/grpc-js"),
    import("@pulumi/pulumi/proto/engine_grpc_pb.js"),
    import("@pulumi/pulumi/proto/engine_pb.js"),
  ]);
  const client = new engineGrpc.EngineClient(address, grpc.credentials.createInsecure());
  return (urn: string, severity: keyof typeof severities, text: string) =>
    new Promise<void>((resolve) => {
      const line = new engine.LogRequest();
      line.setUrn(urn);
      line.setSeverity(severities[severity]);
      line.setEphemeral(severity === "status");
      line.setMessage(text);
      const deadline = Date.now() + logMilliseconds;
      client.log(line, new grpc.Metadata(), { deadline }, () => resolve());
    });
}

/** urn:pulumi:STACK::PROJECT::PARENT$TYPE::NAME */
function typeOf(urn: string): string {
  return urn.split("::")[2]?.split("$").at(-1) ?? "";
}
function nameOf(urn: string): string {
  return urn.split("::").slice(3).join("::");
}
