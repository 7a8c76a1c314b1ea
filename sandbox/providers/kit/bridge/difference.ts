import type { Changes } from "../diff.ts";
import { changesOf, merge } from "../diff.ts";
import type { Properties, Value } from "../values.ts";
import { equal, isObject } from "../values.ts";
import type { Attribute, BridgedResource } from "./types.ts";

/** Unset, empty and zero are one in Terraform's state. */
export function isZero(value: Value | undefined): boolean {
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

/** An input, or its default, as the state has it. */
export function inStateForm(attribute: Attribute, input: Value | undefined): Value {
  if (typeof input === "string" && attribute.stateForm !== undefined) {
    return attribute.stateForm(input);
  }
  return input ?? attribute.default ?? null;
}

/** What a run would change, from the state to the new inputs. */
export function changesBetween(
  spec: BridgedResource,
  state: Properties,
  inputs: Properties,
): Changes {
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

/** Whether a value of the state and one in its form mean the same. */
export function isSame(attribute: Attribute, old: Value, now: Value, inputs: Properties): boolean {
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
