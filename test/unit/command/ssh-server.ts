import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server } from "node:net";
import ssh2, { type ServerChannel, type Connection as SshConnection } from "ssh2";

/** What a test's "remote command" sees, and how it answers. */
export interface Execution {
  command: string;
  env: Record<string, string>;
  /** The terminal that was asked for; it is the test's own to imitate. */
  pty: ssh2.PseudoTtyInfo | undefined;
  stdin: () => Promise<string>;
  channel: ServerChannel;
}

export interface SshServerOptions {
  /** Private host keys (OpenSSH); the first `ssh-ed25519` one is `hostKey` of the server. */
  hostKeys: string[];
  /** The authorized public key; with none, any key is taken. */
  authorizedKey?: string | undefined;
  /** The password taken; with none, passwords are refused. */
  password?: string;
  /** Names of variables that are taken, as sshd's AcceptEnv. */
  acceptEnv?: string[];
  /** Allows `direct-tcpip`, so that the server can be a bastion. */
  forwards?: boolean;
  run: (execution: Execution) => void | Promise<void>;
}

/** An SSH server in this process, on a free loopback port. */
export class SshServer {
  readonly executions: string[] = [];
  /** Sizes that terminals changed to. */
  readonly windows: string[] = [];
  /** TCP connections seen so far, and those open now. */
  connections = 0;
  readonly open = new Set<SshConnection>();
  port = 0;
  readonly options: SshServerOptions;
  #server: Server;

  constructor(options: SshServerOptions) {
    this.options = options;
    const ssh = new ssh2.Server({ hostKeys: options.hostKeys }, (client) => this.#serve(client));
    this.#server = createServer({ noDelay: true }, (socket) => ssh.injectSocket(socket));
  }

  async listen(port = 0): Promise<void> {
    this.#server.listen(port, "127.0.0.1");
    await once(this.#server, "listening");
    // A TCP server's address is an object, a string is that of a Unix socket.
    this.port = (this.#server.address() as AddressInfo).port;
  }

  async close(): Promise<void> {
    for (const client of this.open) client.end();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }

  #serve(client: SshConnection): void {
    this.connections += 1;
    this.open.add(client);
    client.on("close", () => this.open.delete(client));
    client.on("error", () => {});
    client.on("authentication", (context) => {
      if (context.method === "publickey" && this.#authorized(context.key.data)) context.accept();
      else if (context.method === "password" && this.#takesPassword(context.password))
        context.accept();
      else context.reject(["publickey", "password"]);
    });
    client.on("session", (accept) => this.#session(accept()));
    client.on("tcpip", (accept, reject, info) => {
      if (!this.options.forwards) return reject();
      const channel = accept();
      const socket = connect(info.destPort, info.destIP);
      socket.on("error", () => channel.close());
      channel.pipe(socket).pipe(channel);
    });
  }

  #authorized(key: Buffer): boolean {
    if (this.options.authorizedKey === undefined) return true;
    const parsed = ssh2.utils.parseKey(this.options.authorizedKey);
    return !(parsed instanceof Error) && key.equals(parsed.getPublicSSH());
  }

  #takesPassword(password: string): boolean {
    return this.options.password !== undefined && password === this.options.password;
  }

  #session(session: ssh2.Session): void {
    const env: Record<string, string> = {};
    session.on("env", (accept, reject, info) => {
      if (!this.options.acceptEnv?.includes(info.key)) return reject?.();
      env[info.key] = info.val;
      accept?.();
    });
    let pty: ssh2.PseudoTtyInfo | undefined;
    session.on("pty", (accept, _reject, info) => {
      pty = info;
      accept?.();
    });
    session.on("window-change", (accept, _reject, info) => {
      this.windows.push(`${info.cols}x${info.rows}`);
      accept?.();
    });
    session.on("exec", (accept, reject, info) => {
      this.executions.push(info.command);
      if (info.command === "refuse") return reject();
      const channel = accept();
      const stdin = () => readAll(channel);
      void this.options.run({ command: info.command, env, pty, stdin, channel });
    });
  }
}

async function readAll(channel: ServerChannel): Promise<string> {
  const chunks: Buffer[] = [];
  channel.on("data", (chunk: Buffer) => chunks.push(chunk));
  await once(channel, "end");
  return Buffer.concat(chunks).toString("utf8");
}

/** A loopback port on which nothing listens. */
export async function closedPort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  // As above: a TCP server's address is an object.
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}
