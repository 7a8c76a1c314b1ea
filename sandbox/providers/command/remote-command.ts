import { randomBytes } from "node:crypto";
import {
  type Changes,
  changesOfProperties,
  equal,
  isObject,
  type Properties,
  type Request,
  type Resource,
  rootOf,
  Unknown,
  unknown,
  type Value,
} from "../kit.ts";
import { TimeLimit } from "./time-limit.ts";

const serverDefaults = { user: "root", port: 22, dialErrorLimit: 10, perDialTimeout: 15 };

/** `command:remote:Command`: runs a command on a server by SSH when it is made, changed, deleted. */
export const remoteCommand: Resource = {
  secretOutputs: ["connection"],

  check: ({ news }) => ({ inputs: withDefaults(news) }),

  diff: ({ oldInputs, news }) => ({ changes: changesBetween(oldInputs, news) }),

  preview({ inputs, oldState }) {
    const { stdout = unknown, stderr = unknown } =
      oldState !== null && !willRun(oldState, inputs) ? oldState : {};
    return { ...inputs, stdout, stderr };
  },

  async create({ inputs, ...request }) {
    const id = `${request.name}${randomBytes(4).toString("hex")}`;
    return { id, outputs: { ...inputs, ...(await runStep(["create"], inputs, {}, request)) } };
  },

  async update({ news, oldState, ...request }) {
    return { ...news, ...(await runStep(["update", "create"], news, oldState, request)) };
  },

  async delete({ state, ...request }) {
    await runStep(["delete"], state, state, request);
  },
};

function withDefaults(news: Properties): Properties {
  const { connection } = news;
  if (connection === undefined) return news;
  return { ...news, connection: connectionWithDefaults(connection) };
}

function connectionWithDefaults(connection: Value): Value {
  // An SDK's whole connection is unknown as soon as one field is; the real plugin makes it this.
  if (connection instanceof Unknown) return { ...serverDefaults, host: "" };
  if (!isObject(connection)) return connection;
  const { proxy } = connection;
  const server = serverWithDefaults(connection);
  return proxy !== undefined && isObject(proxy)
    ? { ...server, proxy: serverWithDefaults(proxy) }
    : server;
}

function serverWithDefaults(server: Properties): Properties {
  const given = Object.entries(server).filter(([, value]) => value !== null);
  const whole = given.map(([name, value]) =>
    (name === "dialErrorLimit" || name === "perDialTimeout") && typeof value === "number"
      ? [name, Math.trunc(value)]
      : [name, value],
  );
  return { ...serverDefaults, ...Object.fromEntries(whole) };
}

/**
 * Only triggers that come or go replace by the plugin's own word; for triggers that change, the
 * SDK sets `replaceOnChanges`. The connection is a secret, of which no more is said than that it
 * differs.
 */
function changesBetween(oldInputs: Properties, news: Properties): Changes {
  const changes: Changes = new Map();
  for (const [path, change] of changesOfProperties(oldInputs, news)) {
    const isConnection = rootOf(path) === "connection" && oldInputs.connection !== undefined;
    if (isConnection) changes.set("connection", { kind: "update", replace: false });
    else changes.set(path, { ...change, replace: path === "triggers" });
  }
  return changes;
}

const inputNames = [
  ...["connection", "create", "update", "delete", "stdin", "logging", "triggers"],
  ...["environment", "addPreviousOutputInEnv"],
];

/** Whether a preview takes the outputs for unknown: not where an input is only added. */
function willRun(oldState: Properties, inputs: Properties): boolean {
  return inputNames.some((name) => {
    const old = oldState[name] ?? null;
    return inputs[name] instanceof Unknown || (old !== null && !equal(inputs[name], old));
  });
}

type Step = "create" | "update" | "delete";

/** Runs the first of `steps` that is given; with none of them the output stays as it was. */
async function runStep(
  steps: Step[],
  properties: Properties,
  oldState: Properties,
  { signal, timeoutSeconds, log }: Omit<Request, "name">,
): Promise<Properties> {
  // SSH is loaded when it is needed: an `up` without changes starts the plugin, too.
  const [{ parseCommand, parseOutput }, { run }] = await Promise.all([
    import("./inputs.ts"),
    import("./run.ts"),
  ]);
  const command = parseCommand(properties);
  const previous = parseOutput(oldState);
  const line = steps.map((step) => command[step]).find((text) => text !== undefined);
  if (line === undefined) return { ...previous };
  const limit = new TimeLimit(signal, timeoutSeconds);
  try {
    const status = (message: string) => log("status", message);
    return { ...(await run(line, command, previous, { signal: limit.signal, status, log })) };
  } finally {
    limit.end();
  }
}
