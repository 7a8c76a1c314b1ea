import { join } from "node:path";
import { after, before } from "node:test";
import ssh2 from "ssh2";
import { root } from "../../../sandbox/paths.ts";
import { Plugin, type Properties, secret } from "./plugin.ts";
import { type Execution, SshServer, type SshServerOptions } from "./ssh-server.ts";

/**
 * How the plugin under test is started: the stand-in, or the executable that COMMAND_PLUGIN names.
 * With the real plugin there, the same tests tell whether the stand-in does what it does.
 */
export const realPlugin = process.env.COMMAND_PLUGIN;
export const pluginCommand = realPlugin
  ? [realPlugin]
  : [process.execPath, join(root, "sandbox", "providers", "command.ts")];

/** An Ed25519 key; ssh2 makes a damaged one now and then. */
export function newKey(passphrase?: string): { private: string; public: string } {
  const encryption = { passphrase: passphrase ?? "", cipher: "aes256-ctr", rounds: 4 };
  const options = passphrase === undefined ? {} : encryption;
  const pair = ssh2.utils.generateKeyPairSync("ed25519", options);
  const isDamaged = ssh2.utils.parseKey(pair.private, passphrase) instanceof Error;
  return isDamaged ? newKey(passphrase) : pair;
}

/** Appears in a private key and a stdin; must appear nowhere else. */
export const canary = "canary-5e1f0c";
export const hostKey = newKey();
export const userKey = newKey();

/** The user's private key, with the canary in what PEM ignores. */
export const privateKey = `${canary}\n${userKey.private}`;

/** One plugin and one SSH server for the tests of a file, with what remote commands have seen. */
export class World {
  readonly plugin = new Plugin("command:remote:Command");
  readonly server: SshServer;

  constructor(options: Partial<SshServerOptions> = {}) {
    this.server = new SshServer({
      hostKeys: [hostKey.private],
      authorizedKey: userKey.public,
      run: obey,
      ...options,
    });
    before(async () => {
      await this.server.listen();
      await this.plugin.start(pluginCommand, { PATH: process.env.PATH });
      await this.plugin.configure();
    });
    after(async () => {
      await this.plugin.stop();
      await this.server.close();
    });
  }

  /** A connection that works, after Check, as far as `changes` lets it. */
  connection(changes: Properties = {}) {
    const server = { host: "127.0.0.1", port: this.server.port, user: "root" };
    const limits = { dialErrorLimit: 2, perDialTimeout: 15 };
    return secret({ ...server, ...limits, privateKey, hostKey: hostKey.public, ...changes });
  }

  /** The commands that ran while `work` did. */
  async executions(work: () => Promise<unknown>): Promise<string[]> {
    const from = this.server.executions.length;
    await work();
    return this.server.executions.slice(from);
  }

  /** The log lines that came while `work` ran, also if it fails. */
  async logOf(work: () => Promise<unknown>) {
    const from = this.plugin.log.length;
    await work().catch(() => {});
    return this.plugin.log.slice(from);
  }
}

/** What the test's server understands: `print TEXT`, `warn TEXT`, `exit N`, `env`, `count`, … */
async function obey({ command, env, stdin, channel }: Execution): Promise<void> {
  const input = await stdin();
  let code = 0;
  for (const line of command.split("\n")) {
    const [verb = "", ...words] = line.split(" ");
    const text = words.join(" ");
    if (verb === "print") channel.write(`${text}\n`);
    if (verb === "warn") channel.stderr.write(`${text}\n`);
    if (verb === "env") channel.write(JSON.stringify(env));
    if (verb === "count") channel.write(`${Buffer.byteLength(input)}`);
    if (verb === "repeat") channel.write(`${"x".repeat(Number(text))}\n`);
    if (verb === "bytes") channel.write(Buffer.from(text, "hex"));
    if (verb === "vanish") return void channel.end();
    if (verb === "exit") code = Number(text);
  }
  channel.exit(code);
  channel.end();
}
