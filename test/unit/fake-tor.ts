import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type Server, type Socket } from "node:net";

/** A server's port on 127.0.0.1. */
export function portOf(server: Server): number {
  const address = server.address();
  assert.ok(address !== null && typeof address === "object");
  return address.port;
}

/** A SOCKS proxy (RFC 1928) that gives each request the same answer, and remembers what it was asked for. */
export class FakeTor implements AsyncDisposable {
  readonly asked: string[] = [];
  readonly #server: Server;

  private constructor(answer: number, connected: (client: Socket) => void) {
    this.#server = createServer((socket) => this.#serve(socket, answer, connected));
  }

  /** `connected` has the client after the answer 0. */
  static async listening(
    answer: number,
    connected: (client: Socket) => void = () => {},
  ): Promise<FakeTor> {
    const tor = new FakeTor(answer, connected);
    await once(tor.#server.listen(0, "127.0.0.1"), "listening");
    return tor;
  }

  get proxy() {
    return { host: "127.0.0.1", port: portOf(this.#server) };
  }

  #serve(socket: Socket, answer: number, connected: (client: Socket) => void): void {
    socket.on("error", () => {});
    socket.once("data", () => {
      socket.write(Buffer.from([5, 0]));
      socket.once("data", (request) => {
        const length = request.readUInt8(4);
        const name = request.subarray(5, 5 + length).toString();
        this.asked.push(`${name}:${request.readUInt16BE(5 + length)}`);
        socket.write(Buffer.from([5, answer, 0, 1, 0, 0, 0, 0, 0, 0]));
        if (answer === 0) connected(socket);
        else socket.end();
      });
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.close();
    await once(this.#server, "close");
  }
}
