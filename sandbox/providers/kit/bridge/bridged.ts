import { rootOf } from "../diff.ts";
import type { Request, Resource, UpdateRequest } from "../provider.ts";
import { PartialFailure } from "../provider.ts";
import type { Properties } from "../values.ts";
import { check, hasFixedName } from "./check.ts";
import { changesBetween } from "./difference.ts";
import { importedInputs, planned, refreshedInputs } from "./outputs.ts";
import type { BridgedResource, Made } from "./types.ts";

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
      planned(spec, oldState, inputs, ignoreChanges.map(rootOf)),
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
  const changes = changesBetween(spec, request.oldState, request.news);
  const ignored = request.ignoreChanges.map(rootOf);
  const changed = (name: string) =>
    !ignored.includes(name) && [...changes.keys()].some((path) => rootOf(path) === name);
  try {
    return await update({ ...request, changed });
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
