import { connect } from "node:net";
import type { AnyAuthMethod, AuthHandlerMiddleware, ConnectConfig } from "ssh2";
import { systemError } from "./go-text.ts";
import { parseHostKey } from "./host-key.ts";
import type { Server } from "./inputs.ts";
import { parsePrivateKey } from "./private-key.ts";

/** ssh2's settings for one server, and what happened while they were used. */
export interface Credentials {
  config: ConnectConfig;
  /** What the last handshake came to; ssh2's own errors don't tell. */
  seen: { hostKeyMismatch: boolean; methods: string[] };
  /** Of the pinned host key; `undefined` where any key is accepted. */
  hostKeyType: string | undefined;
}

/**
 * Reads the keys of a connection.
 * @throws Error that says which key can't be read, in the real plugin's words.
 */
export async function credentialsOf(server: Server): Promise<Credentials> {
  const hostKey = server.hostKey === undefined ? undefined : parseHostKey(server.hostKey);
  const seen: Credentials["seen"] = { hostKeyMismatch: false, methods: [] };
  const config: ConnectConfig = {
    username: server.user,
    authHandler: authHandler(await methodsOf(server), seen),
    // As in the real plugin: perDialTimeout is about TCP alone, and a server that never ends its
    // handshake is waited for.
    readyTimeout: 0,
  };
  if (hostKey !== undefined) {
    // ssh-rsa isn't widened to rsa-sha2-*: the real plugin doesn't either.
    Object.assign(config, { algorithms: { serverHostKey: [hostKey.type] } });
    config.hostVerifier = (key: Buffer) => {
      seen.hostKeyMismatch = !key.equals(hostKey.blob);
      return !seen.hostKeyMismatch;
    };
  }
  return { config, seen, hostKeyType: hostKey?.type };
}

/** What to try, in order; of each kind only the first is tried. */
async function methodsOf(server: Server): Promise<Map<string, AnyAuthMethod>> {
  const { user: username, password } = server;
  const methods = new Map<string, AnyAuthMethod>([["none", { type: "none", username }]]);
  if (server.privateKey !== undefined) {
    const key = parsePrivateKey(server.privateKey, server.privateKeyPassword);
    methods.set("publickey", { type: "publickey", username, key });
  }
  if (password !== undefined) {
    methods.set("password", { type: "password", username, password });
    methods.set("keyboard-interactive", {
      type: "keyboard-interactive",
      username,
      prompt: (_name, _instructions, _language, prompts, finish) =>
        finish(prompts.map(() => password)),
    });
  }
  const agent = server.agentSocketPath ?? (process.env.SSH_AUTH_SOCK || undefined);
  if (agent !== undefined) {
    await reachAgent(agent);
    if (!methods.has("publickey")) methods.set("publickey", { type: "agent", username, agent });
  }
  return methods;
}

/** The real plugin connects to the agent even where a key is given, and fails if it can't. */
function reachAgent(path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect(path, () => {
      socket.destroy();
      resolve();
    });
    socket.once("error", (error) =>
      reject(new Error(`dial unix ${path}: connect: ${systemError(error)}`)),
    );
  });
}

function authHandler(
  methods: Map<string, AnyAuthMethod>,
  seen: Credentials["seen"],
): AuthHandlerMiddleware {
  return (offered, _partial, next) => {
    // ssh2's types leave out that the first call offers nothing.
    const names: readonly string[] | null = offered;
    if (names === null) seen.methods = [];
    const entry = [...methods].find(
      ([name]) => !seen.methods.includes(name) && (names === null || names.includes(name)),
    );
    if (entry === undefined) return false;
    const [name, method] = entry;
    seen.methods.push(name);
    next(method);
  };
}
