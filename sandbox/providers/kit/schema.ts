import type { Properties, Value } from "./values.ts";
import { isObject, Unknown } from "./values.ts";

/** A property's type, as the SDK's declarations give it. */
export type Type =
  | "boolean"
  | "number"
  | "string"
  | "any"
  | { list: Type }
  | { map: Type }
  | { object: Fields };
export interface Fields {
  [name: string]: { type: Type; required: boolean };
}
export interface ResourceSchema {
  inputs: Fields;
  outputs: Fields;
}
/** A package's schema: `schemas/NAME.json`, made from the SDK by `kit/schema-from-sdk.ts`. */
export interface PackageSchema {
  name: string;
  version: string;
  config: Fields;
  resources: { [token: string]: ResourceSchema };
}

export interface CheckFailure {
  /** The property's name; "" where the real plugin names it in the reason alone. */
  property: string;
  reason: string;
}

/** What is wrong with one property, for `CheckMessages` to put into words. */
export type Problem =
  | { kind: "unknown"; path: string }
  | { kind: "missing"; path: string }
  | { kind: "type"; path: string; type: Type; value: Value };

/** Compares a bag of properties with its declaration; `[]` if it fits. Unknowns fit everything. */
export function problemsOf(properties: Properties, fields: Fields, path = ""): Problem[] {
  const at = (name: string) => (path === "" ? name : `${path}.${name}`);
  const found = Object.entries(properties)
    .filter(([name]) => !name.startsWith("__"))
    .flatMap(([name, value]): Problem[] => {
      const field = fields[name];
      if (field === undefined) return [{ kind: "unknown", path: at(name) }];
      return value === null ? [] : problemsOfValue(value, field.type, at(name));
    });
  const missing = Object.entries(fields)
    .filter(([name, field]) => field.required && (properties[name] ?? null) === null)
    .map(([name]): Problem => ({ kind: "missing", path: at(name) }));
  return [...found, ...missing];
}

function problemsOfValue(value: Value, type: Type, path: string): Problem[] {
  if (value instanceof Unknown || type === "any") return [];
  if (typeof type === "string")
    return typeof value === type ? [] : [typeProblem(path, type, value)];
  if ("list" in type) {
    if (!Array.isArray(value)) return [typeProblem(path, type, value)];
    return value.flatMap((element, i) => problemsOfValue(element, type.list, `${path}[${i}]`));
  }
  if (!isObject(value)) return [typeProblem(path, type, value)];
  if ("object" in type) return problemsOf(value, type.object, path);
  return Object.entries(value).flatMap(([name, element]) =>
    problemsOfValue(element, type.map, `${path}.${name}`),
  );
}

const typeProblem = (path: string, type: Type, value: Value): Problem => ({
  kind: "type",
  path,
  type,
  value,
});

/** "string", "number", "boolean", "array", "object" or "null". */
export function valueTypeName(value: Value): string {
  if (value === null) return "null";
  return Array.isArray(value) ? "array" : typeof value;
}

export function declaredTypeName(type: Type): string {
  if (typeof type === "string") return type;
  return "list" in type ? "array" : "object";
}
