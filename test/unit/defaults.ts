import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parse } from "yaml";
import { z } from "zod";

const text = z.strictObject({
  type: z.literal("string"),
  default: z.string(),
  description: z.string(),
});
const structure = z.strictObject({
  type: z.literal("object"),
  default: z.strictObject({}).transform((value) => JSON.stringify(value)),
  description: z.string(),
});
const projectFile = z.object({ config: z.record(z.string(), z.union([text, structure])) });

/** The settings as Pulumi.yaml declares them, by name. */
export const declared = projectFile.parse(
  parse(readFileSync(join(import.meta.dirname, "..", "..", "Pulumi.yaml"), "utf8")),
).config;

/** What the engine puts in where a setting isn't given, by name. */
export const defaults: Record<string, string> = Object.fromEntries(
  Object.entries(declared).map(([name, setting]) => [name, setting.default]),
);
