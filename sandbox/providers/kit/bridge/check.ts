import { randomBytes } from "node:crypto";
import type { CheckMessages, CheckRequest, CheckResult } from "../provider.ts";
import type { CheckFailure } from "../schema.ts";
import { declaredTypeName, valueTypeName } from "../schema.ts";
import type { Properties, Value } from "../values.ts";
import { Unknown } from "../values.ts";
import type { BridgedResource } from "./types.ts";

/** Under this name the inputs tell which of them the program left out. */
export const defaultsKey = "__defaults";

/** Fills in what the program left out, and refuses what an attribute does not allow. */
export function check(spec: BridgedResource, request: CheckRequest): CheckResult {
  const inputs: Properties = { ...request.news };
  const defaulted: string[] = [];
  const fill = (name: string, value: Value | undefined) => {
    if (value === undefined || (inputs[name] ?? null) !== null) return;
    inputs[name] = value;
    defaulted.push(name);
  };
  if (spec.autoName !== undefined) fill("name", autoName(spec.autoName, request));
  for (const [name, attribute] of Object.entries(spec.attributes)) {
    if (spec.defaultsAreInputs) fill(name, attribute.default);
  }
  const failures = failuresOf(spec, request.name, inputs);
  const known = spec.defaultsAreInputs ? { ...inputs, [defaultsKey]: defaulted.sort() } : inputs;
  return { inputs: known, failures };
}

function failuresOf(spec: BridgedResource, resource: string, inputs: Properties): CheckFailure[] {
  return Object.entries(spec.attributes).flatMap(([name, attribute]) => {
    const value = inputs[name];
    if (value === undefined || value === null || value instanceof Unknown) return [];
    const reason = attribute.validate?.(value);
    if (reason === undefined) return [];
    return [{ property: "", reason: `${reason}. Examine values at '${resource}.${name}'.` }];
  });
}

const randomLength = 7;

function autoName(
  rule: NonNullable<BridgedResource["autoName"]>,
  request: CheckRequest,
): string | undefined {
  const old = request.olds?.name;
  if (typeof old === "string" && wasDefaulted(request.olds ?? {}, "name")) return old;
  const transform = rule.transform ?? ((name: string) => name);
  if (request.autonaming?.mode === "disable") {
    throw new Error("automatic naming is disabled but no explicit name was provided");
  }
  if (request.autonaming?.mode === "enforce") return request.autonaming.proposedName;
  if (request.autonaming?.mode === "propose") return transform(request.autonaming.proposedName);
  const seed = request.randomSeed.length > 0 ? Buffer.from(request.randomSeed) : randomBytes(32);
  const suffix = seed.toString("hex").slice(0, randomLength);
  return `${transform(request.name).slice(0, rule.maxLength - randomLength - 1)}-${suffix}`;
}

function wasDefaulted(inputs: Properties, name: string): boolean {
  const defaults = inputs[defaultsKey];
  return Array.isArray(defaults) && defaults.includes(name);
}

/** A name that the program gave can't be used twice: the old one has to go first. */
export function hasFixedName(spec: BridgedResource, inputs: Properties): boolean {
  return spec.autoName !== undefined && inputs.name !== undefined && !wasDefaulted(inputs, "name");
}

/** The bridge's words for what a schema refuses. */
export const bridgeMessages: CheckMessages = (problem, resource) => {
  const examine = `Examine values at '${resource}.${problem.path}'.`;
  if (problem.kind === "missing") {
    return { property: "", reason: `Missing required property '${problem.path}'` };
  }
  if (problem.kind === "unknown") {
    return { property: "", reason: `Invalid or unknown key. ${examine}` };
  }
  const expected = declaredTypeName(problem.type);
  const got = valueTypeName(problem.value);
  return { property: "", reason: `expected ${expected} type, got ${got} type. ${examine}` };
};
