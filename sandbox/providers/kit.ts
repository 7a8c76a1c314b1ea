/**
 * What the stand-in plugins share: a gRPC ResourceProvider for the engine, in the manner of the
 * real plugins. A plugin is a file that is run as `node sandbox/providers/NAME.ts ENGINE_ADDRESS`:
 *
 *     import { packageSchema, serve } from "./kit.ts";
 *     await serve({
 *       schema: await packageSchema("command"),         // schemas/command.json
 *       secrecy: "any input",
 *       messages: (problem, name) => ({ property: problem.path, reason: "…" }),
 *       resources: { "command:remote:Command": { diff, create, update, delete: … } },
 *     });
 *
 * - `kit/provider.ts` says what a resource answers (check, diff, preview, create, read, update,
 *   delete). The kit decodes, checks types against the schema, refuses unknown and missing
 *   properties, and puts marks of secrecy back on; a resource sees plain values (`Properties`),
 *   with `Unknown` in them in Check, Diff and previews only.
 * - `changesOfProperties(old, new, name => needsReplacement)` is the detailed diff of two bags.
 * - Throw `PartialFailure` where the resource exists but is not ready, else any Error: its message
 *   is what the user reads. Wait with `request.signal`: Ctrl-C aborts it (see `whenCancelled`).
 * - `bridged(table)` makes a resource as Pulumi's Terraform bridge does: a table of attributes
 *   (`kit/bridge/types.ts`) decides on defaults, differences, replacements, previews and refreshes.
 * - `request.log("status" | "info" | "warning", …)` shows a line below the resource.
 * - `schemas/NAME.json` is made from the SDK: `node sandbox/providers/kit/schema-from-sdk.ts NAME`,
 *   which has the list of types; a test compares them.
 * - Import at the head only what every run needs: an `up` without changes starts each plugin.
 */

export { bridged } from "./kit/bridge/bridged.ts";
export { bridgeMessages } from "./kit/bridge/check.ts";
export { inputsAsState } from "./kit/bridge/outputs.ts";
export type { Attribute, BridgedResource, Made, Plan } from "./kit/bridge/types.ts";
export type { Changes } from "./kit/diff.ts";
export { changesOf, changesOfProperties, merge, rootOf } from "./kit/diff.ts";
export type {
  CheckMessages,
  CheckRequest,
  CheckResult,
  CreateRequest,
  DeleteRequest,
  DiffRequest,
  DiffResult,
  PreviewRequest,
  Provider,
  ReadRequest,
  ReadResult,
  Request,
  Resource,
  UpdateRequest,
} from "./kit/provider.ts";
export { PartialFailure } from "./kit/provider.ts";
export type { CheckFailure, PackageSchema, Problem } from "./kit/schema.ts";
export { declaredTypeName, valueTypeName } from "./kit/schema.ts";
export { packageSchema } from "./kit/schema-file.ts";
export { serve } from "./kit/server.ts";
export type { Properties, Value } from "./kit/values.ts";
export { equal, isObject, Unknown, unknown } from "./kit/values.ts";
