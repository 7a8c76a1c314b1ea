import { z } from "zod";

/** One operation of the engine on one resource; times are seconds since the start of the run. */
export interface Operation {
  /** As the program calls it. */
  name: string;
  /** Its type with those of its parents: "a:b:Parent$c:d:Child". */
  type: string;
  /** "create", "update", "same", "refresh", … */
  op: string;
  start: number;
  end: number;
}

const metadata = z.object({ metadata: z.object({ op: z.string(), urn: z.string() }) });
const event = z.object({
  resourcePreEvent: metadata.optional(),
  resOutputsEvent: metadata.optional(),
  resOpFailedEvent: metadata.optional(),
  diagnosticEvent: z.object({ severity: z.string(), message: z.string() }).optional(),
  summaryEvent: z.object({ resourceChanges: z.record(z.string(), z.number()) }).optional(),
});

/**
 * Reads what `pulumi up --json` prints: an event a line. The events' own timestamps are whole seconds, so each is
 * timed by when its line came.
 */
export class EventLog {
  readonly operations: Operation[] = [];
  /** What the engine and the program had to say of severity "error". */
  readonly errors: string[] = [];
  /** How many resources saw which operation, once the run is over. */
  changes: Record<string, number> = {};
  readonly #open = new Map<string, Operation>();

  /** Takes a line, which came `seconds` after the start; lines that are no event are passed over. */
  take(line: string, seconds: number): void {
    if (!line.startsWith("{")) return;
    const { resourcePreEvent, resOutputsEvent, resOpFailedEvent, diagnosticEvent, summaryEvent } =
      event.parse(JSON.parse(line));
    if (resourcePreEvent) this.#begin(resourcePreEvent.metadata, seconds);
    const ended = resOutputsEvent ?? resOpFailedEvent;
    if (ended) this.#end(ended.metadata, seconds);
    if (diagnosticEvent?.severity === "error") this.errors.push(diagnosticEvent.message.trim());
    if (summaryEvent) this.changes = summaryEvent.resourceChanges;
  }

  #begin({ op, urn }: { op: string; urn: string }, seconds: number): void {
    const [, , type = "", name = ""] = urn.split("::");
    const operation = { name, type, op, start: seconds, end: Number.NaN };
    this.#open.set(`${op} ${urn}`, operation);
    this.operations.push(operation);
  }

  #end({ op, urn }: { op: string; urn: string }, seconds: number): void {
    const operation = this.#open.get(`${op} ${urn}`);
    if (operation) operation.end = seconds;
  }
}
