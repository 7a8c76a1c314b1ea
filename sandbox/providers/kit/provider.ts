import type { Changes } from "./diff.ts";
import type { CheckFailure, PackageSchema, Problem } from "./schema.ts";
import type { Properties } from "./values.ts";

/** What a plugin is: handed to `serve`. All values are free of secret marks; the kit puts them back. */
export interface Provider {
  schema: PackageSchema;
  /** By type token, such as "tls:index/privateKey:PrivateKey". */
  resources: { [token: string]: Resource };
  /**
   * Which outputs are secret besides a resource's `secretOutputs`: those whose input of the same
   * name is (Terraform bridge), or all of them as soon as any input is (pulumi-go-provider).
   */
  secrecy: "same name" | "any input";
  messages: CheckMessages;
  /**
   * What the engine's Cancel (Ctrl-C) does: aborts the requests' signal (the default), or nothing,
   * as in plugins made by the Terraform bridge, which finish what they do.
   */
  whenCancelled?: "abort" | "finish";
  /** Refuses a configuration; its keys and types have been checked already. */
  checkConfig?(config: Properties): CheckFailure[];
  configure?(config: Properties): void | Promise<void>;
}

/** Words for what the schema refuses. `name` is the resource's name in the program. */
export type CheckMessages = (problem: Problem, name: string) => CheckFailure;

export interface Resource {
  /** Outputs, and inputs of the same name, that are secret whatever the program says. */
  secretOutputs?: readonly string[];
  /** Runs before the schema is checked: defaults, autonaming, normal forms, rules of its own. */
  check?(request: CheckRequest): CheckResult | Promise<CheckResult>;
  diff(request: DiffRequest): DiffResult | Promise<DiffResult>;
  /**
   * Outputs as far as a preview knows them. Default: the inputs, and for what is computed the old
   * state's value if there is one, else unknown.
   */
  preview?(request: PreviewRequest): Properties;
  /** @throws PartialFailure if the resource exists but is not ready; any other error if it doesn't. */
  create(request: CreateRequest): Promise<{ id: string; outputs: Properties }>;
  /** For refresh and import; `null` if it is gone. Default: nothing can be known, all stays. */
  read?(request: ReadRequest): Promise<ReadResult | null>;
  /** Returns the new outputs. Without it every difference must be a replacement. */
  update?(request: UpdateRequest): Promise<Properties>;
  /** It being gone already is no error. Default: there is nothing to do. */
  delete?(request: DeleteRequest): Promise<void>;
}

/** What every request brings. */
export interface Request {
  urn: string;
  /** The resource's name in the program. */
  name: string;
  /** Aborted by Ctrl-C (see `whenCancelled`) and by the engine's end: stop waiting and throw. */
  signal: AbortSignal;
  /** `customTimeouts` of the program in seconds. */
  timeoutSeconds: number | undefined;
  /** Shows a line below the resource; "status" is replaced by the next one. */
  log(severity: "debug" | "info" | "warning" | "error" | "status", message: string): void;
}

export interface CheckRequest extends Request {
  /** Old inputs; `null` for a new resource. */
  olds: Properties | null;
  news: Properties;
  randomSeed: Uint8Array;
  /** From `pulumi:autonaming`; `null` if not configured. */
  autonaming: { mode: "propose" | "enforce" | "disable"; proposedName: string } | null;
}
export interface CheckResult {
  inputs: Properties;
  failures?: CheckFailure[];
}

export interface DiffRequest extends Request {
  id: string;
  oldInputs: Properties;
  oldState: Properties;
  news: Properties;
  ignoreChanges: string[];
}
export interface DiffResult {
  changes: Changes;
  deleteBeforeReplace?: boolean;
  /** Properties that no update changes: what depends on them is not previewed as changing. */
  stables?: string[];
}

export interface PreviewRequest extends Request {
  inputs: Properties;
  /** `null` for a new resource. */
  oldState: Properties | null;
  /** `null` for a new resource. */
  oldInputs: Properties | null;
  ignoreChanges: string[];
}
export interface CreateRequest extends Request {
  inputs: Properties;
}
export interface ReadRequest extends Request {
  id: string;
  /** `null` on import and `get`. */
  state: Properties | null;
  inputs: Properties | null;
}
export interface ReadResult {
  id: string;
  outputs: Properties;
  inputs: Properties;
}
export interface UpdateRequest extends Request {
  id: string;
  oldInputs: Properties;
  oldState: Properties;
  news: Properties;
  ignoreChanges: string[];
}
export interface DeleteRequest extends Request {
  id: string;
  inputs: Properties;
  state: Properties;
}

/**
 * The resource exists (or has been changed in part) but is not as it should be. Its state is kept,
 * and the engine reports the reasons and tries an update in the next run.
 */
export class PartialFailure extends Error {
  readonly id: string;
  readonly outputs: Properties;
  readonly reasons: string[];
  constructor(id: string, outputs: Properties, reasons: string[]) {
    super(reasons.join("\n"));
    this.id = id;
    this.outputs = outputs;
    this.reasons = reasons;
  }
}
