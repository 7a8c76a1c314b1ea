import type { Client, ClientChannel } from "ssh2";

/**
 * The parts of ssh2 that its own `exec` is made of. `exec` sends variables without asking for an
 * answer, so that one that sshd's AcceptEnv refuses is lost in silence; the real plugin reports it.
 */
interface Internals {
  _chanMgr: { add(opened: Opened): number };
  _protocol: {
    session(channel: number, window: number, packet: number): void;
    env(channel: number, name: string, value: string, wantReply: true): void;
    exec(channel: number, command: string, wantReply: true): void;
  };
}
type Opened = ((error: Error | undefined, channel: OpenChannel) => void) & { type?: string };
type OpenChannel = ClientChannel & {
  _callbacks: ((failed: boolean | Error) => void)[];
  incoming: { state: string };
  outgoing: { id: number };
};

const windowBytes = 2 * 1024 * 1024;
const packetBytes = 32 * 1024;

function hasInternals(client: Client): client is Client & Internals {
  return "_chanMgr" in client && "_protocol" in client;
}

/** A channel for one command. */
export class CommandChannel {
  readonly stream: ClientChannel;
  #channel: OpenChannel;
  #protocol: Internals["_protocol"];

  private constructor(channel: OpenChannel, protocol: Internals["_protocol"]) {
    this.stream = channel;
    this.#channel = channel;
    this.#protocol = protocol;
  }

  /** @throws Error if the server gives no channel. */
  static open(client: Client): Promise<CommandChannel> {
    if (!hasInternals(client)) throw new Error("this version of ssh2 is not the one written for");
    return new Promise((resolve, reject) => {
      const opened: Opened = (error, channel) =>
        error === undefined
          ? resolve(new CommandChannel(channel, client._protocol))
          : reject(new Error(`ssh: rejected: ${error.message}`));
      opened.type = "session";
      client._protocol.session(client._chanMgr.add(opened), windowBytes, packetBytes);
    });
  }

  /** @throws Error if the server refuses the variable. */
  setEnvironment(name: string, value: string): Promise<void> {
    return this.#request("ssh: setenv failed", () =>
      this.#protocol.env(this.#channel.outgoing.id, name, value, true),
    );
  }

  /** @throws Error if the server refuses to run anything. */
  execute(command: string): Promise<void> {
    return this.#request(`ssh: command ${command} failed`, () =>
      this.#protocol.exec(this.#channel.outgoing.id, command, true),
    );
  }

  #request(failure: string, send: () => void): Promise<void> {
    return new Promise((resolve, reject) => {
      const isOpen = () => this.#channel.incoming.state === "open";
      this.#channel._callbacks.push((failed) =>
        failed ? reject(new Error(isOpen() ? failure : "EOF")) : resolve(),
      );
      send();
    });
  }
}
