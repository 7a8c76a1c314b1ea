import type { Properties, Value } from "../values.ts";
import { unknown } from "../values.ts";
import { defaultsKey } from "./check.ts";
import { inStateForm, isSame, isZero } from "./difference.ts";
import type { Attribute, BridgedResource } from "./types.ts";

/**
 * The outputs as far as they are known before the work is done; those that the program ignores
 * stay as they are.
 */
export function planned(
  spec: BridgedResource,
  state: Properties | null,
  inputs: Properties,
  ignored: string[],
): Properties {
  const plan = spec.plan?.(state, inputs);
  const outputs: Properties = {};
  for (const name of [...spec.computed, ...Object.keys(spec.attributes)]) {
    const stays = state !== null && ignored.includes(name);
    outputs[name] = stays ? (state[name] ?? null) : plannedOutput(spec, name, state, inputs);
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
export function refreshedInputs(
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
export function importedInputs(spec: BridgedResource, outputs: Properties): Properties {
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
