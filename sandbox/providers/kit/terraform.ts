import { randomBytes } from "node:crypto";
import type { Changes } from "./diff.ts";
import { changesOf, merge, rootOf } from "./diff.ts";
import type {
  CheckMessages,
  CheckRequest,
  CheckResult,
  Request,
  Resource,
  UpdateRequest,
} from "./provider.ts";
import { PartialFailure } from "./provider.ts";
import type { CheckFailure } from "./schema.ts";
import { declaredTypeName, valueTypeName } from "./schema.ts";
import type { Properties, Value } from "./values.ts";
import { equal, isObject, Unknown, unknown } from "./values.ts";

/**
 * How Pulumi's bridge makes resources of a Terraform provider's: a table of attributes says what a
 * change means, differences are taken between the state and the new inputs, and inputs that the
 * program left out are filled with defaults (whose names stand in `__defaults`).
 */
export interface Attribute {
  /** A change needs a new resource. */
  forceNew?: true;
  /** Left out, it is what the other side makes of it: no difference. */
  computed?: true;
  default?: boolean | number | string;
  /** Order means nothing. */
  set?: true;
  /** Used once and never kept: the state has nothing of it. */
  writeOnly?: true;
  /** The form in which the state has the input's value (a hash, lower case). */
  stateForm?: (input: string) => string;
  /** Two values that differ in writing only. */
  same?: (state: Value | undefined, input: Value | undefined, inputs: Properties) => boolean;
  /** What is wrong with a known value; `undefined` if nothing. */
  validate?: (value: Value) => string | undefined;
}

export interface BridgedResource {
  /** Its inputs. */
  attributes: { [name: string]: Attribute };
  /** Outputs that are no inputs. */
  computed: readonly string[];
  secretOutputs?: readonly string[];
  /** Defaults are filled in by Check, so that they stand in the inputs (Terraform's older SDK). */
  defaultsAreInputs: boolean;
  /** Makes a name out of the resource's: NAME-1a2b3c4. */
  autoName?: { maxLength: number; transform?: (name: string) => string };
  /**
   * Rules over several attributes, run on every diff with the state (`null` for a new resource).
   * @throws Error to refuse.
   */
  plan?: (state: Properties | null, inputs: Properties) => Plan | undefined;
  create(request: Request & { inputs: Properties }): Promise<Made>;
  /** Waits until what was created is ready, and returns its outputs: failing, it leaves it there. */
  settle?(request: Request & { inputs: Properties; id: string }): Promise<Properties>;
  /** Returns what is there, as outputs; `null` if it is gone. */
  read(request: Request & { id: string; state: Properties }): Promise<Properties | null>;
  /** Makes of an id given to `pulumi import` the real id and the state that `read` starts from. */
  importState?: (request: Request & { id: string }) => Promise<Made> | Made;
  update?(request: UpdateRequest & { changed: (name: string) => boolean }): Promise<Properties>;
  delete(request: Request & { id: string; state: Properties }): Promise<void>;
}

export interface Made {
  id: string;
  outputs: Properties;
}

export interface Plan {
  /** Attributes whose change needs a new resource this time. */
  forceNew?: string[];
  /** Outputs that this update will change. */
  recomputed?: string[];
  /** Outputs that are out of date and that only a new resource can bring up to date. */
  outOfDate?: string[];
}

const defaultsKey = "__defaults";

/** The plugin's resource for a table of attributes. */
export function bridged(spec: BridgedResource): Resource {
  const update = spec.update;
  const resource: Resource = {
    secretOutputs: spec.secretOutputs ?? [],
    check: (request) => check(spec, request),
    diff: ({ oldState, news }) => ({
      changes: changesBetween(spec, oldState, news),
      deleteBeforeReplace: hasFixedName(spec, news),
      stables: Object.keys(spec.attributes).filter((name) => spec.attributes[name]?.forceNew),
    }),
    preview: ({ inputs, oldState, ignoreChanges }) =>
      planned(spec, oldState, withoutIgnored(inputs, oldState, ignoreChanges)),
    create: async (request) => {
      spec.plan?.(null, request.inputs);
      const made = await spec.create(request);
      return { id: made.id, outputs: await settled(spec, request, made) };
    },
    read: async (request) => {
      const start =
        request.state === null
          ? ((await spec.importState?.(request)) ?? { id: request.id, outputs: {} })
          : { id: request.id, outputs: request.state };
      const outputs = await spec.read({ ...request, id: start.id, state: start.outputs });
      if (outputs === null) return null;
      const inputs =
        request.state === null
          ? importedInputs(spec, outputs)
          : refreshedInputs(spec, request.inputs ?? {}, outputs);
      return { id: start.id, outputs, inputs };
    },
    delete: (request) => spec.delete(request),
  };
  if (update === undefined) return resource;
  return { ...resource, update: (request) => updateOrKeep(spec, update, request) };
}

async function settled(
  spec: BridgedResource,
  request: Request & { inputs: Properties },
  { id, outputs }: Made,
): Promise<Properties> {
  if (spec.settle === undefined) return outputs;
  try {
    return await spec.settle({ ...request, id });
  } catch (error) {
    throw new PartialFailure(id, outputs, [`creating ${request.urn}: ${reasonOf(error)}`]);
  }
}

const reasonOf = (error: unknown): string =>
  error instanceof Error ? error.message : String(error);

async function updateOrKeep(
  spec: BridgedResource,
  update: NonNullable<BridgedResource["update"]>,
  request: UpdateRequest,
): Promise<Properties> {
  const news = withoutIgnored(request.news, request.oldState, request.ignoreChanges);
  const changes = changesBetween(spec, request.oldState, news);
  const changed = (name: string) => [...changes.keys()].some((path) => rootOf(path) === name);
  try {
    return await update({ ...request, news, changed });
  } catch (error) {
    return await failedUpdate(spec, request, error);
  }
}

/** Keeps what an update has done before it failed, so that the next one goes on from there. */
async function failedUpdate(
  spec: BridgedResource,
  request: UpdateRequest,
  error: unknown,
): Promise<never> {
  const state = request.oldState;
  const there = await spec.read({ ...request, state }).catch(() => null);
  if (there === null) throw error;
  throw new PartialFailure(request.id, there, [`updating ${request.urn}: ${reasonOf(error)}`]);
}

function withoutIgnored(
  inputs: Properties,
  state: Properties | null,
  ignoreChanges: string[],
): Properties {
  if (state === null) return inputs;
  const kept = Object.fromEntries(
    ignoreChanges.map((path) => [rootOf(path), state[rootOf(path)] ?? null]),
  );
  return { ...inputs, ...kept };
}

function check(spec: BridgedResource, request: CheckRequest): CheckResult {
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
function hasFixedName(spec: BridgedResource, inputs: Properties): boolean {
  return spec.autoName !== undefined && inputs.name !== undefined && !wasDefaulted(inputs, "name");
}

/** Unset, empty and zero are one in Terraform's state. */
function isZero(value: Value | undefined): boolean {
  if (value === undefined || value === null) return true;
  if (value === "" || value === 0 || value === false) return true;
  if (Array.isArray(value)) return value.length === 0;
  return isObject(value) && Object.values(value).every(isZero);
}

/** A value without zeros, its sets sorted: two that mean the same are equal in this form. */
function canonical(value: Value | undefined): Value {
  if (value === undefined || isZero(value)) return null;
  if (Array.isArray(value)) return value.map(canonical);
  if (!isObject(value)) return value;
  const fields = Object.entries(value)
    .filter(([name, field]) => !name.startsWith("__") && !isZero(field))
    .map(([name, field]): [string, Value] => [name, canonicalField(field)]);
  return Object.fromEntries(fields.sort(([one], [other]) => (one < other ? -1 : 1)));
}

/** Lists within objects are sets in all the resources here. */
function canonicalField(value: Value): Value {
  const form = canonical(value);
  return Array.isArray(form) ? form.sort(byText) : form;
}

const text = (value: Value) => JSON.stringify(value);
const byText = (one: Value, other: Value) => (text(one) < text(other) ? -1 : 1);

function inStateForm(attribute: Attribute, input: Value | undefined): Value {
  if (typeof input === "string" && attribute.stateForm !== undefined) {
    return attribute.stateForm(input);
  }
  return input ?? attribute.default ?? null;
}

function changesBetween(spec: BridgedResource, state: Properties, inputs: Properties): Changes {
  const plan = spec.plan?.(state, inputs);
  const outOfDate: Changes = new Map(
    plan?.outOfDate?.map((name) => [name, { kind: "update", replace: true }]),
  );
  const changes = Object.entries(spec.attributes).map(([name, attribute]) => {
    const replace = attribute.forceNew === true || (plan?.forceNew?.includes(name) ?? false);
    return attributeChanges(name, attribute, replace, state, inputs);
  });
  return merge([...changes, outOfDate]);
}

function attributeChanges(
  name: string,
  attribute: Attribute,
  replace: boolean,
  state: Properties,
  inputs: Properties,
): Changes {
  const old = state[name] ?? null;
  const given = inputs[name];
  if (attribute.computed && (given === undefined || given === null)) return new Map();
  const now = inStateForm(attribute, given);
  if (attribute.writeOnly || isSame(attribute, old, now, inputs)) return new Map();
  if (Array.isArray(old) && Array.isArray(now) && attribute.set) {
    return setChanges(name, old, now, replace);
  }
  const changes = changesOf(name, old, now, replace);
  // Both are zero but of different kinds, or differ below the level of the diff.
  return changes.size > 0 ? changes : new Map([[name, { kind: "update", replace }]]);
}

function isSame(attribute: Attribute, old: Value, now: Value, inputs: Properties): boolean {
  if (attribute.same?.(old, now, inputs)) return true;
  const [one, other] = [canonical(old), canonical(now)];
  if (!attribute.set || !Array.isArray(one) || !Array.isArray(other)) return equal(one, other);
  return equal([...one].sort(byText), [...other].sort(byText));
}

function setChanges(name: string, old: Value[], now: Value[], replace: boolean): Changes {
  const [were, are] = [old, now].map((values) => new Set(values.map((v) => text(canonical(v)))));
  const changes: Changes = new Map();
  old.forEach((value, i) => {
    if (!are?.has(text(canonical(value))))
      changes.set(`${name}[${i}]`, { kind: "delete", replace });
  });
  now.forEach((value, i) => {
    const path = `${name}[${i}]`;
    if (were?.has(text(canonical(value)))) return;
    changes.set(path, { kind: changes.has(path) ? "update" : "add", replace });
  });
  return changes;
}

/** The outputs as far as they are known before the work is done. */
function planned(spec: BridgedResource, state: Properties | null, inputs: Properties): Properties {
  const plan = spec.plan?.(state, inputs);
  const outputs: Properties = {};
  for (const name of [...spec.computed, ...Object.keys(spec.attributes)]) {
    outputs[name] = plannedOutput(spec, name, state, inputs);
  }
  for (const name of [...(plan?.recomputed ?? []), ...(plan?.outOfDate ?? [])]) {
    outputs[name] = unknown;
  }
  return outputs;
}

function plannedOutput(
  spec: BridgedResource,
  name: string,
  state: Properties | null,
  inputs: Properties,
): Value {
  const attribute = spec.attributes[name];
  const given = inputs[name] ?? null;
  if (attribute?.writeOnly) return null;
  if (attribute !== undefined && (given !== null || !attribute.computed)) {
    const old = state?.[name] ?? null;
    const form = inStateForm(attribute, given);
    return state !== null && isSame(attribute, old, form, inputs) ? old : form;
  }
  if (attribute === undefined) return state?.[name] ?? unknown;
  return state === null ? unknown : (state[name] ?? null);
}

/** What the program gave, in the form of the state, with defaults; without what was not given. */
export function inputsAsState(
  attributes: BridgedResource["attributes"],
  inputs: Properties,
): Properties {
  const entries = Object.entries(attributes)
    .filter(([, attribute]) => !attribute.writeOnly)
    .map(([name, attribute]): [string, Value] => [name, inStateForm(attribute, inputs[name])]);
  return Object.fromEntries(entries.filter(([, value]) => value !== null));
}

/** Old inputs, brought up to date with what was found; what only differs in writing stays. */
function refreshedInputs(
  spec: BridgedResource,
  inputs: Properties,
  outputs: Properties,
): Properties {
  const entries = Object.entries(inputs).map(([name, value]): [string, Value] => {
    const attribute = spec.attributes[name];
    if (attribute === undefined) return [name, value];
    const there = outputs[name] ?? null;
    return [name, isSame(attribute, there, inStateForm(attribute, value), inputs) ? value : there];
  });
  return Object.fromEntries(entries);
}

/** Inputs that a program would have to give for what was found. */
function importedInputs(spec: BridgedResource, outputs: Properties): Properties {
  const entries = Object.entries(spec.attributes)
    .map(([name, attribute]): [string, Value, Attribute] => [
      name,
      outputs[name] ?? null,
      attribute,
    ])
    .filter(([, value, attribute]) => !isZero(value) && value !== attribute.default)
    .map(([name, value]): [string, Value] => [name, value]);
  const inputs = Object.fromEntries(entries);
  return spec.defaultsAreInputs ? { ...inputs, [defaultsKey]: [] } : inputs;
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
