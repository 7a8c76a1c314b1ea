import type { CheckFailure, Fields, PackageSchema, Problem } from "./schema.ts";
import { declaredTypeName } from "./schema.ts";

/** What the engine itself puts beside a provider's settings. */
const ofTheEngine = ["version", "pluginDownloadURL", "pluginChecksums"];

/** Declared settings; others than strings may come as JSON text, so their type is left open. */
export function configFields(schema: PackageSchema): Fields {
  const open = Object.keys(schema.config).map((name): [string, Fields[string]] => [
    name,
    { type: schema.config[name]?.type === "string" ? "string" : "any", required: false },
  ]);
  const engine = ofTheEngine.map((name): [string, Fields[string]] => [
    name,
    { type: "any", required: false },
  ]);
  return Object.fromEntries([...open, ...engine]);
}

export function problemToFailure(problem: Problem, schema: PackageSchema): CheckFailure {
  const key = `${schema.name}:${problem.path}`;
  if (problem.kind === "type") {
    const expected = declaredTypeName(problem.type);
    return {
      property: "",
      reason: `could not validate provider configuration: ${key}: expected ${expected}`,
    };
  }
  return {
    property: "",
    reason:
      `\`${key}\` is not a valid configuration key for the ${schema.name} provider. ` +
      "If the referenced key is not intended for the provider, please choose a different " +
      `namespace from \`${schema.name}:\`.`,
  };
}
