import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { test } from "node:test";
import { parse } from "yaml";
import { z } from "zod";
import { fields } from "../../settings.ts";

const root = join(import.meta.dirname, "..", "..");
const read = (path: string) => readFileSync(join(root, path), "utf8");
const pages = [
  "README.md",
  "CHANGELOG.md",
  ...readdirSync(join(root, "docs"))
    .filter((name) => name.endsWith(".md"))
    .map((name) => `docs/${name}`),
];

/** Every match of a pattern with one group in all pages. */
function findAll(pattern: RegExp): { page: string; found: string }[] {
  return pages.flatMap((page) =>
    [...read(page).matchAll(pattern)].map((match) => ({ page, found: match[1] ?? "" })),
  );
}

/** A heading's anchor, as GitHub makes it. */
const anchorOf = (heading: string) =>
  heading
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N} _-]/gu, "")
    .replaceAll(" ", "-");

function anchorsOf(path: string): string[] {
  return [...read(path).matchAll(/^#+ (.*)$/gm)].map((match) => anchorOf(match[1] ?? ""));
}

test("docs/settings.md says what the settings are today", () => {
  const check = spawnSync(process.execPath, [join(root, "docs", "generate.ts"), "--check"], {
    encoding: "utf8",
  });
  assert.equal(check.status, 0, check.stderr);
});

test("every setting has a sentence and a default, and the other way round", () => {
  const { config } = z
    .looseObject({ config: z.record(z.string(), z.unknown()) })
    .parse(parse(read("Pulumi.yaml")));
  assert.deepEqual(Object.keys(config).sort(), Object.keys(fields).sort());
});

test("every link of the documentation leads to a file and a heading", () => {
  const dead = findAll(/\]\((?!https?:)([^)]+)\)/g).filter(({ page, found }) => {
    const [path = "", anchor] = found.split("#");
    const target = path === "" ? page : relative(root, join(root, dirname(page), path));
    if (!existsSync(join(root, target))) return true;
    return anchor !== undefined && !anchorsOf(target).includes(anchor);
  });
  assert.deepEqual(dead, []);
});

test("every file that the documentation names is there", () => {
  const named = /`((?:components|files|sandbox|test|docs|\.github)\/[\w./-]*|[\w-]+\.(?:ts|mjs))`/g;
  const absent = findAll(named).filter(
    ({ page, found }) =>
      !found.includes("NAME") &&
      !existsSync(join(root, found)) &&
      !existsSync(join(root, dirname(page), found)) &&
      !existsSync(join(root, "components", found)),
  );
  assert.deepEqual(absent, []);
});

test("every npm script that the documentation names is there", () => {
  const { scripts } = z
    .looseObject({ scripts: z.record(z.string(), z.string()) })
    .parse(JSON.parse(read("package.json")));
  const unknown = findAll(/npm run ([a-z]+)/g).filter(({ found }) => !(found in scripts));
  assert.deepEqual(unknown, []);
});
