import * as grpc from "@grpc/grpc-js";
import { ResourceProviderService } from "@pulumi/pulumi/proto/provider_grpc_pb.js";
import { handlersOf } from "./handlers.ts";
import type { Provider } from "./provider.ts";
import { Session } from "./session.ts";

/** How long work that is under way may take to stop once the engine is gone. */
const graceMilliseconds = 5000;
/** The engine sends whole states in one message. */
const maxMessageBytes = 400 * 1024 * 1024;

/**
 * Serves a provider to the engine whose address is the last argument: prints the port that it
 * listens on, and ends with the engine, which holds the other end of standard input.
 */
export async function serve(provider: Provider): Promise<void> {
  const engine = process.argv.at(-1) ?? "";
  const session = new Session(provider, engine);
  const server = new grpc.Server({
    "grpc.max_receive_message_length": maxMessageBytes,
    "grpc.max_send_message_length": maxMessageBytes,
  });
  server.addService(ResourceProviderService, handlersOf(session));
  const port = await listen(server);
  process.stdout.write(`${port}\n`);
  process.stdin.on("close", () => end(server, session)).resume();
}

function listen(server: grpc.Server): Promise<number> {
  return new Promise((resolve, reject) => {
    server.bindAsync("127.0.0.1:0", grpc.ServerCredentials.createInsecure(), (error, port) =>
      error === null ? resolve(port) : reject(error),
    );
  });
}

function end(server: grpc.Server, session: Session): void {
  session.end();
  server.tryShutdown(() => process.exit(0));
  setTimeout(() => process.exit(0), graceMilliseconds).unref();
}
