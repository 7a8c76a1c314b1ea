import { randomBytes } from "node:crypto";
import { readFile } from "node:fs/promises";
import { delimiter, join } from "node:path";
import { pathToFileURL } from "node:url";
import { endpoint } from "../cloud/client.ts";
import { ifExists, writeFileAtomic } from "../files.ts";
import { paths, root } from "../paths.ts";
import { officialCli } from "./cli.ts";

const passphraseFile = join(paths.stacks, "passphrase");
/** The sandbox's file backend. */
export const backendUrl = pathToFileURL(paths.stacks).href;
const binDir = join(root, "node_modules", ".bin");

/**
 * The environment of every pulumi run in the sandbox: the user's own without what would lead it to the
 * user's own Pulumi, DigitalOcean account or SSH agent. Without the cloud's variables while that is off.
 */
export async function pulumiEnv(): Promise<NodeJS.ProcessEnv> {
  return { ...withoutOwn(process.env), ...(await sandboxVariables()) };
}

/** What {@link pulumiEnv} sets on top of the user's environment. */
export async function sandboxVariables(): Promise<Record<string, string>> {
  await ensurePassphrase();
  const noProxy = noProxyWithLoopback(process.env.NO_PROXY ?? process.env.no_proxy);
  return {
    PULUMI_HOME: paths.pulumiHome,
    PULUMI_BACKEND_URL: backendUrl,
    PULUMI_CONFIG_PASSPHRASE_FILE: passphraseFile,
    PULUMI_SKIP_UPDATE_CHECK: "1",
    PATH: enginePath(process.env.PATH ?? "", (await officialCli()) !== undefined),
    NO_PROXY: noProxy,
    no_proxy: noProxy,
    NODE_COMPILE_CACHE: join(paths.engine, "compile-cache"),
    ...(await cloudVariables()),
  };
}

async function cloudVariables(): Promise<Record<string, string>> {
  const cloud = await endpoint();
  return cloud ? { DIGITALOCEAN_API_URL: cloud.url, DIGITALOCEAN_TOKEN: cloud.token } : {};
}

/** Names of variables of the user's own that must not reach a run in the sandbox. */
export function isOwn(name: string): boolean {
  return /^(PULUMI_|DIGITALOCEAN_|SPACES_|DO_API_|SSH_AUTH_SOCK$|SSH_AGENT_PID$)/.test(name);
}

function withoutOwn(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(env).filter(([name]) => !isOwn(name)));
}

/** The pinned node first, then the built engine unless an official one further along is in use. */
export function enginePath(path: string, official: boolean): string {
  const first = official ? [binDir] : [binDir, paths.engine];
  const rest = path.split(delimiter).filter((dir) => dir !== binDir && dir !== paths.engine);
  return [...first, ...rest].join(delimiter);
}

/** The engine, its plugins and the cloud speak over loopback; a proxy of the machine must not come between. */
export function noProxyWithLoopback(list: string | undefined): string {
  const names = (list ?? "").split(",").filter((name) => name !== "");
  return [...new Set([...names, "127.0.0.1", "localhost"])].join(",");
}

/** Random, made once, readable by its owner only: it encrypts the secrets in the sandbox's stacks. */
async function ensurePassphrase(): Promise<void> {
  if (await ifExists(readFile(passphraseFile))) return;
  await writeFileAtomic(passphraseFile, `${randomBytes(32).toString("base64url")}\n`, 0o600);
}
