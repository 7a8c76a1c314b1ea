import type { CheckFailure, Problem } from "../kit.ts";

/** Go's names of the types that properties are decoded into. */
const structs: Record<string, string> = { connection: "Connection", proxy: "ProxyConnection" };
const integers = new Set(["dialErrorLimit", "perDialTimeout"]);

/**
 * Puts a refused property into the real plugin's words. Unlike that, it leaves the property out:
 * for a named one the engine prints the value, with the private key of a connection in it.
 */
export function messageOf(problem: Problem): CheckFailure {
  const { reason } = describe(problem, problem.path.split("."), "CommandInputs");
  return { property: "", reason };
}

function describe(
  problem: Problem,
  [head = "", ...rest]: string[],
  owner: string,
): { field: string; reason: string } {
  const struct = structs[head];
  if (rest.length === 0 || struct === undefined) {
    const field = rest.length === 0 ? head : `${head}[${rest.join(".")}] value`;
    return { field, reason: reasonOf(problem, field, `remote.${owner}`) };
  }
  const inner = describe(problem, rest, struct);
  const reason = `An error occurred decoding '${owner}.${head}': 1 failures decoding:\n\t${inner.field}: ${inner.reason}`;
  return { field: head, reason };
}

function reasonOf(problem: Problem, field: string, owner: string): string {
  switch (problem.kind) {
    case "unknown":
      return `Unrecognized field '${field}' on '${owner}'`;
    case "missing":
      return `Missing required field '${field}' on '${owner}'`;
    case "type":
      return `Field '${field}' on '${owner}' must be a '${declared(problem, field)}'; got '${actual(problem.value)}' instead`;
  }
}

type TypeProblem = Extract<Problem, { kind: "type" }>;

function declared({ type }: TypeProblem, field: string): string {
  const struct = structs[field];
  if (struct !== undefined) return `remote.${struct}`;
  if (typeof type !== "string") return "list" in type ? "[]interface {}" : "map[string]string";
  if (type === "number") return integers.has(field) ? "int" : "float64";
  return type === "boolean" ? "bool" : type;
}

function actual(value: TypeProblem["value"]): string {
  if (Array.isArray(value)) return "[]interface {}";
  if (typeof value === "object") return "map[string]interface {}";
  if (typeof value === "boolean") return "bool";
  return typeof value === "number" ? "float64" : "string";
}
