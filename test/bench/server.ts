import { join } from "node:path";
import { root } from "../../sandbox/paths.ts";
import { Stack } from "../../sandbox/stack.ts";
import { EventLog } from "./event-log.ts";
import { type Sample, sample } from "./sample.ts";
import { commandTimes, firstUpSteps, laterUpSteps, type Steps } from "./steps.ts";

export interface UpSample extends Sample {
  steps: Steps;
  /** Seconds of each remote command that ran. */
  commands: Steps;
}

export interface ServerSamples {
  firstUp: UpSample;
  noOp: UpSample;
  oneRole: UpSample;
  preview: Sample;
}

type Report = (line: string) => void;

/** Makes a server of a fresh stack, measures what is done with it, and leaves it there. */
export async function measureServer(
  name: string,
  check: () => void,
  report: Report,
): Promise<ServerSamples> {
  const domain = `${name}.example`;
  const stack = await Stack.open(name, {
    configFrom: join(root, "Pulumi.dev.yaml"),
    config: { mailDomain: domain, adminEmail: `test@${domain}` },
  });
  const told = async <T extends Sample>(what: string, work: Promise<T>): Promise<T> => {
    const done = await work;
    check();
    report(`${what}: ${done.seconds.toFixed(1)} s`);
    return done;
  };
  const firstUp = await told("first up", measureUp(stack, firstUpSteps, makesAll));
  const noOp = await told("no-op", measureUp(stack, laterUpSteps, changesNothing));
  await stack.set("inboundTls", "opportunistic");
  const oneRole = await told("one role", measureUp(stack, laterUpSteps, changesOneRole));
  await stack.set("inboundTls", "required");
  const preview = await told("preview", measurePreview(stack));
  return { firstUp, noOp, oneRole, preview };
}

async function measureUp(
  stack: Stack,
  stepsOf: (operations: EventLog["operations"], seconds: number) => Steps,
  verify: (log: EventLog) => void,
): Promise<UpSample> {
  const log = new EventLog();
  const { result, ...times } = await sample((elapsed) =>
    stack.up({
      args: ["--json"],
      allowFailure: true,
      onOutput: (line) => log.take(line, elapsed()),
    }),
  );
  if (result.code !== 0) {
    const words = log.errors.join("\n") || result.stderr;
    throw new Error(`pulumi up of ${stack.name} failed (${result.code}):\n${words}`);
  }
  verify(log);
  const steps = stepsOf(log.operations, times.seconds);
  return { ...times, steps, commands: commandTimes(log.operations) };
}

async function measurePreview(stack: Stack): Promise<Sample> {
  const { result, ...times } = await sample(() => stack.preview({ diff: true }));
  if (!result.stdout.includes("smtpd_tls_security_level")) {
    throw new Error(`The preview doesn't show the changed line:\n${result.stdout}`);
  }
  return times;
}

function makesAll({ changes }: EventLog): void {
  expectChanges(changes, ["create"], "The first up of a fresh stack");
}

function changesNothing({ changes }: EventLog): void {
  expectChanges(changes, ["same"], "A second up without a change");
}

function changesOneRole(log: EventLog): void {
  expectChanges(log.changes, ["same", "update"], "One changed setting");
  const ran = Object.keys(commandTimes(log.operations)).sort().join(", ");
  if (ran !== "postfix, prove") {
    throw new Error(`inboundTls is of role postfix only, but these ran: ${ran}.`);
  }
}

/** A measurement of something else than what it is called would mislead. */
function expectChanges(changes: Record<string, number>, expected: string[], what: string): void {
  if (Object.keys(changes).toSorted().join() === expected.toSorted().join()) return;
  throw new Error(`${what} is not what is measured: pulumi says ${JSON.stringify(changes)}.`);
}
