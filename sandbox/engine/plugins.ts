import { lstat, mkdir, readdir, readFile, rm, stat, symlink } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { z } from "zod";
import { ifExists, writeFileAtomic } from "../files.ts";
import { paths, root } from "../paths.ts";
import { run } from "../process.ts";
import { engine } from "./cli.ts";
import { pulumiEnv } from "./env.ts";
import { nodeWrapper } from "./wrapper.ts";

export interface Plugin {
  name: string;
  version: string;
  /** The official one of the user's own plugin cache, one that the official CLI got, or our stand-in. */
  origin: "linked" | "installed" | "stand-in" | "missing";
}

const manifest = z.object({
  version: z.string(),
  pulumi: z.object({ resource: z.boolean().optional(), name: z.string().optional() }).optional(),
});

/** The plugins of the providers in node_modules/@pulumi, with where each comes from. */
export async function plugins(): Promise<Plugin[]> {
  const wanted = await wantedPlugins();
  return Promise.all(wanted.map(async (one) => ({ ...one, origin: await originOf(one) })));
}

/** Puts every plugin in place: the official one where it can be had, else a stand-in. */
export async function ensurePlugins(report: (line: string) => void): Promise<Plugin[]> {
  for (const plugin of await plugins()) await ensurePlugin(plugin, report);
  return plugins();
}

async function ensurePlugin(plugin: Plugin, report: (line: string) => void): Promise<void> {
  const own = join(userPluginCache(), directoryName(plugin));
  if (await ifExists(stat(join(own, executableName(plugin))))) {
    if (plugin.origin !== "linked") await link(plugin, own);
    return;
  }
  if (plugin.origin === "installed") return;
  if (await install(plugin, report)) return;
  await writeStandIn(plugin);
}

/** The engine skips a plugin folder that is a link: a folder of links it takes. */
async function link(plugin: Plugin, from: string): Promise<void> {
  const to = directory(plugin);
  await rm(to, { recursive: true, force: true });
  await mkdir(to, { recursive: true });
  for (const name of await readdir(from)) await symlink(join(from, name), join(to, name));
}

/** Has the official CLI download a plugin: tried once, as a machine without the way out would wait every time. */
async function install(plugin: Plugin, report: (line: string) => void): Promise<boolean> {
  const tried = join(paths.pulumiHome, "tried", directoryName(plugin));
  const { kind, pulumi } = await engine();
  if (kind !== "official" || (await ifExists(stat(tried)))) return false;
  report(`Downloading the plugin ${plugin.name} ${plugin.version}`);
  await rm(directory(plugin), { recursive: true, force: true });
  const args = ["plugin", "install", "resource", plugin.name, plugin.version, "--non-interactive"];
  const result = await run(pulumi, args, { env: await pulumiEnv(), timeout: 60 });
  if (result.code === 0) return true;
  await writeFileAtomic(tried, `${result.stderr}\n`);
  return false;
}

async function writeStandIn(plugin: Plugin): Promise<void> {
  const source = join(root, "sandbox", "providers", `${plugin.name}.ts`);
  const executable = join(directory(plugin), executableName(plugin));
  const text = nodeWrapper(source);
  if ((await ifExists(readFile(executable, "utf8"))) === text) return;
  await rm(directory(plugin), { recursive: true, force: true });
  await writeFileAtomic(executable, text, 0o755);
}

async function originOf(plugin: { name: string; version: string }): Promise<Plugin["origin"]> {
  const executable = join(directory(plugin), executableName(plugin));
  if (!(await ifExists(stat(executable)))) return "missing";
  if ((await lstat(executable)).isSymbolicLink()) return "linked";
  const partial = await ifExists(stat(`${directory(plugin)}.partial`));
  if (partial) return "missing";
  const isOurs =
    (await stat(executable)).size < 4096 &&
    (await readFile(executable, "utf8")).startsWith("#!/bin/sh\n");
  return isOurs ? "stand-in" : "installed";
}

async function wantedPlugins(): Promise<{ name: string; version: string }[]> {
  const scope = join(root, "node_modules", "@pulumi");
  const found = [];
  for (const folder of (await readdir(scope)).sort()) {
    const text = await ifExists(readFile(join(scope, folder, "package.json"), "utf8"));
    const { version, pulumi } = manifest.parse(JSON.parse(text ?? '{"version":""}'));
    if (pulumi?.resource) found.push({ name: pulumi.name ?? folder, version });
  }
  return found;
}

function userPluginCache(): string {
  const home = process.env.PULUMI_HOME;
  const own = home && home !== paths.pulumiHome ? home : join(homedir(), ".pulumi");
  return join(own, "plugins");
}

type Name = { name: string; version: string };
const directoryName = ({ name, version }: Name) => `resource-${name}-v${version}`;
const executableName = ({ name }: Name) => `pulumi-resource-${name}`;
const directory = (plugin: Name) => join(paths.pulumiHome, "plugins", directoryName(plugin));
