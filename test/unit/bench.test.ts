import assert from "node:assert/strict";
import { test } from "node:test";
import { EventLog } from "../bench/event-log.ts";
import { covered, ratios, summarize } from "../bench/statistics.ts";
import { commandTimes, firstUpSteps, laterUpSteps } from "../bench/steps.ts";

const server = "mailfruit:index:MailServer";
const types = {
  "mailfruit-bench-1": "pulumi:pulumi:Stack",
  mail: server,
  "mail-key": `${server}$tls:index/privateKey:PrivateKey`,
  "mail-droplet": `${server}$mailfruit:machine:Droplet$digitalocean:index/droplet:Droplet`,
  "mail-host-ready": `${server}$mailfruit:machine:Host$command:remote:Command`,
  "mail-host-packages": `${server}$mailfruit:machine:Host$command:remote:Command`,
  "mail-host-postfix": `${server}$mailfruit:role:Role$command:remote:Command`,
  "mail-host-dovecot": `${server}$mailfruit:role:Role$command:remote:Command`,
  "mail-host-test-user": `${server}$mailfruit:machine:Host$command:remote:Command`,
  "mail-host-prove": `${server}$mailfruit:machine:Host$command:remote:Command`,
} as const;
type Name = keyof typeof types;

/** A line as `pulumi up --json` prints it. */
function line(kind: "resourcePreEvent" | "resOutputsEvent", op: string, name: Name): string {
  const urn = `urn:pulumi:bench-1::mailfruit::${types[name]}::${name}`;
  return JSON.stringify({ sequence: 1, timestamp: 1795420773, [kind]: { metadata: { op, urn } } });
}

function logOf(operations: [Name, op: string, start: number, end: number][]): EventLog {
  const log = new EventLog();
  const lines = operations.flatMap(([name, op, start, end]) => [
    { at: start, text: line("resourcePreEvent", op, name) },
    { at: end, text: line("resOutputsEvent", op, name) },
  ]);
  for (const { at, text } of lines.toSorted((a, b) => a.at - b.at)) log.take(text, at);
  return log;
}

const firstUp = logOf([
  ["mailfruit-bench-1", "create", 1, 99],
  ["mail", "create", 3, 4],
  ["mail-key", "create", 4, 5],
  ["mail-droplet", "create", 6, 12],
  ["mail-host-ready", "create", 12, 15],
  ["mail-host-packages", "create", 15, 55],
  ["mail-host-postfix", "create", 56, 60],
  ["mail-host-dovecot", "create", 60, 63],
  ["mail-host-test-user", "create", 63, 64],
  ["mail-host-prove", "create", 63, 66],
]);

test("min, median and max of an odd and of an even number of runs", () => {
  assert.deepEqual(summarize([10, 9, 100]), { min: 9, median: 10, max: 100 });
  assert.deepEqual(summarize([4, 1, 2, 3]), { min: 1, median: 2.5, max: 4 });
  assert.deepEqual(summarize([7]), { min: 7, median: 7, max: 7 });
  assert.throws(() => summarize([]), /nothing was measured/);
});

test("a ratio is to the baseline of the same run", () => {
  assert.deepEqual(ratios([30, 80, 20], [20, 40, 10]), { min: 1.5, median: 2, max: 2 });
  assert.throws(() => ratios([30, 80], [20]), /run 2 has no baseline/);
});

test("overlapping and repeated work is counted once", () => {
  const intervals = [
    { start: 5, end: 6 },
    { start: 0, end: 2 },
    { start: 1, end: 4 },
    { start: 1, end: 2 },
  ];
  assert.equal(covered(intervals), 5);
  assert.equal(covered([]), 0);
});

test("the steps of a first `up` add up to the whole", () => {
  const { "engine alone (no resource at work)": alone, ...steps } = firstUpSteps(
    firstUp.operations,
    67,
  );
  assert.deepEqual(steps, {
    "engine, plugins and program start": 3,
    "keys, domain and volume": 3,
    "machine (create, boot, SSH ready)": 9,
    packages: 40,
    roles: 8,
    "prove, test user": 3,
    "engine ends": 1,
  });
  // Before the key (4), between key and droplet (1), packages and postfix (1), after prove (1).
  assert.equal(alone, 7);
});

test("the steps of a later `up`, and the commands that it ran", () => {
  const { operations } = logOf([
    ["mail", "refresh", 2, 2],
    ["mail-droplet", "refresh", 2, 3],
    ["mail-host-prove", "refresh", 3, 3.5],
    ["mailfruit-bench-1", "same", 4, 9],
    ["mail", "same", 5, 5],
    ["mail-host-dovecot", "same", 6, 6],
    ["mail-host-postfix", "update", 6, 8],
    ["mail-host-prove", "update", 8, 9],
  ]);
  assert.deepEqual(laterUpSteps(operations, 9.5), {
    "engine and plugins start": 2,
    refresh: 1.5,
    "program starts": 1.5,
    resources: 4,
    "engine ends": 0.5,
  });
  assert.deepEqual(commandTimes(operations), { postfix: 2, prove: 1 });
});

test("events that lack what the steps are made of are an error, not a figure", () => {
  const { operations } = logOf([["mail", "create", 1, 2]]);
  assert.throws(() => firstUpSteps(operations, 3), /lack the resources/);
});

test("errors and the numbers of changes are taken from the events, other lines are passed over", () => {
  const log = new EventLog();
  log.take("warning: this is no event", 1);
  log.take(
    '{"diagnosticEvent":{"severity":"error","message":"postconf: fatal\\n","color":"never"}}',
    2,
  );
  log.take('{"diagnosticEvent":{"severity":"info","message":"wrote a file","color":"never"}}', 3);
  log.take('{"summaryEvent":{"maybeCorrupt":false,"resourceChanges":{"same":43,"update":1}}}', 4);
  log.take('{"cancelEvent":{}}', 5);
  assert.deepEqual(log.errors, ["postconf: fatal"]);
  assert.deepEqual(log.changes, { same: 43, update: 1 });
  assert.deepEqual(log.operations, []);
});
