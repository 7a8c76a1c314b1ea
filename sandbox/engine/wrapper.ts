import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { ifExists, writeFileAtomic } from "../files.ts";
import { paths, root } from "../paths.ts";

/** Short runs that load much code: with room for what is young, less of their time goes into collecting it. */
export const nodeOptions = ["--max-semi-space-size=64"];

/** The text of a shell script that becomes the pinned Node with a script of this checkout. */
export function nodeWrapper(script: string): string {
  const node = join(root, "node_modules", ".bin", "node");
  const words = [node, ...nodeOptions, script].map(shellQuote).join(" ");
  return `#!/bin/sh\nexec ${words} "$@"\n`;
}

export function shellQuote(word: string): string {
  return `'${word.replaceAll("'", `'\\''`)}'`;
}

/** Puts the language host's stand-in beside the built CLI. */
export async function ensureLanguageHost(): Promise<void> {
  const file = join(paths.engine, "pulumi-language-nodejs");
  const text = nodeWrapper(join(root, "sandbox", "engine", "language-nodejs.ts"));
  if ((await ifExists(readFile(file, "utf8"))) === text) return;
  await writeFileAtomic(file, text, 0o755);
}
