import { access, glob, readFile } from "node:fs/promises";
import { join } from "node:path";
import { root } from "../paths.ts";
import { runOnTerminal } from "../process.ts";

const bin = (name: string) => join(root, "node_modules", ".bin", name);

/** Commands that are scripts of the project or tools on it; each returns an exit code. */
export const scripts = {
  bench: (args: string[]) => node(["test/bench.ts", ...args]),
  scan: (args: string[]) => node(["test/scan.ts", ...args]),
  docs: (args: string[]) => node(["docs/generate.ts", ...args]),
  lint,
};

function node(args: string[]): Promise<number> {
  return runOnTerminal(process.execPath, args, { cwd: root });
}

/** All three checks run even where one fails: one look shows everything. */
async function lint(args: string[]): Promise<number> {
  const codes = [
    await runOnTerminal(bin("biome"), ["check", "--error-on-warnings", ...args], { cwd: root }),
    await runOnTerminal(bin("tsc"), ["--project", root], { cwd: root }),
    await shellcheck(),
  ];
  return Math.max(...codes);
}

async function shellcheck(): Promise<number> {
  if (!(await isOnPath("shellcheck"))) {
    console.error(
      "Shell scripts are not checked: install shellcheck (apt-get install shellcheck).",
    );
    return 0;
  }
  return runOnTerminal("shellcheck", await shellScripts(), { cwd: root });
}

/** Files that end in .sh or start as a shell script. */
async function shellScripts(): Promise<string[]> {
  const scripts: string[] = [];
  const ignored = ["node_modules", ".sandbox", ".git"];
  for await (const entry of glob("**/*", {
    cwd: root,
    withFileTypes: true,
    exclude: (one) => ignored.includes(one.name),
  })) {
    if (!entry.isFile()) continue;
    const file = join(entry.parentPath, entry.name);
    if (entry.name.endsWith(".sh") || /^#!.*\b(sh|bash)\n/.test(await readFile(file, "latin1"))) {
      scripts.push(file);
    }
  }
  return scripts;
}

async function isOnPath(name: string): Promise<boolean> {
  const found = (process.env.PATH ?? "").split(":").map((dir) =>
    access(join(dir, name)).then(
      () => true,
      () => false,
    ),
  );
  return (await Promise.all(found)).includes(true);
}
