import type { Request, UpdateRequest } from "../provider.ts";
import type { Properties, Value } from "../values.ts";

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
