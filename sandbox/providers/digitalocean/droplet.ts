import { createHash } from "node:crypto";
import type { BridgedResource, Properties, Request } from "../kit.ts";
import { inputsAsState } from "../kit.ts";
import type { Api } from "./api.ts";
import { changeDroplet } from "./droplet-changes.ts";
import { createRequest } from "./droplet-request.ts";
import { awaitDroplet, detachVolume, outputsOf } from "./droplet-state.ts";
import { between, lowerCase, notEmpty, oneOf, step, tags, tolerateGone } from "./rules.ts";
import type { Connect } from "./settings.ts";

/** As long as the real plugin waits. */
const createSeconds = 60 * 60;
const deleteSeconds = 60;

const weekday = oneOf("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT");
const plan = oneOf("daily", "weekly");
const hour = between(0, 20);

const attributes: BridgedResource["attributes"] = {
  backupPolicy: { validate: checkPolicy },
  backups: { default: false },
  dropletAgent: { forceNew: true },
  gpuPartitionMode: { forceNew: true },
  gracefulShutdown: { default: false },
  image: { forceNew: true, validate: notEmpty },
  ipv6: { default: false },
  ipv6Address: { computed: true },
  monitoring: { forceNew: true, default: false },
  name: { validate: notEmpty },
  privateNetworking: { computed: true },
  publicNetworking: { forceNew: true, computed: true },
  region: { forceNew: true, computed: true, stateForm: lowerCase, validate: notEmpty },
  resizeDisk: { default: true },
  size: { stateForm: lowerCase, validate: notEmpty },
  sshKeys: { forceNew: true, set: true },
  tags,
  userData: {
    forceNew: true,
    validate: notEmpty,
    stateForm: (value) => createHash("sha1").update(value).digest("hex"),
  },
  volumeIds: { set: true, computed: true },
  vpcUuid: { forceNew: true, computed: true, validate: notEmpty },
};

function checkPolicy(value: Properties[string]): string | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  const fields = new Map(Object.entries(value));
  const checks = [
    ["plan", plan],
    ["weekday", weekday],
    ["hour", hour],
  ] as const;
  for (const [name, check] of checks) {
    const field = fields.get(name);
    const known = typeof field === "string" || typeof field === "number";
    const reason = known ? check(field) : undefined;
    if (reason !== undefined) return `${name}: ${reason}`;
  }
  return undefined;
}

const computed = [
  "createdAt",
  "disk",
  "dropletUrn",
  "ipv4Address",
  "ipv4AddressPrivate",
  "locked",
  "memory",
  "priceHourly",
  "priceMonthly",
  "status",
  "vcpus",
];

export function droplet(connect: Connect): BridgedResource {
  return {
    attributes,
    computed,
    defaultsAreInputs: true,
    autoName: { maxLength: 255 },
    plan: (state, inputs) => {
      if (state === null) return undefined;
      if (state.ipv6 === true && inputs.ipv6 === false) return { forceNew: ["ipv6"] };
      if (state.ipv6 !== true && inputs.ipv6 === true) return { recomputed: ["ipv6Address"] };
      return undefined;
    },
    create: async ({ inputs, signal }) => {
      const request = createRequest(inputs);
      const api = await connect(signal);
      const made = await step("Error creating droplet", () => api.droplets.create(request));
      return { id: String(made.id), outputs: outputsOf(made, inputsAsState(attributes, inputs)) };
    },
    settle: async ({ id, inputs, signal, timeoutSeconds }) => {
      const api = await connect(signal);
      const what = `Error waiting for droplet (${id}) to become ready`;
      const found = await step(what, () =>
        awaitDroplet(api, id, {
          seconds: timeoutSeconds ?? createSeconds,
          is: ({ status }) => status === "active",
          whenGone: "wait",
        }),
      );
      return outputsOf(found, inputsAsState(attributes, inputs));
    },
    importState: async ({ id, signal }) => ({
      id,
      outputs: await imported(await connect(signal), id),
    }),
    read: async ({ id, state, signal }) => {
      const api = await connect(signal);
      const found = await step("Error retrieving droplet", () => api.droplets.get(id));
      return found === null ? null : outputsOf(found, state);
    },
    update: async (request) => {
      const api = await connect(request.signal);
      await changeDroplet(api, request);
      const found = await step("Error retrieving droplet", () => api.droplets.get(request.id));
      if (found === null) throw new Error(`droplet (${request.id}) not found during update`);
      return outputsOf(found, inputsAsState(attributes, request.news));
    },
    delete: async (request) => deleteDroplet(await connect(request.signal), request),
  };
}

/** The image is known at import only: later its slug may mean another one. */
async function imported(api: Api, id: string): Promise<Properties> {
  if (!/^\d+$/.test(id)) throw new Error(`Invalid droplet id: ${id}`);
  const found = await step("Error importing droplet", () => api.droplets.get(id));
  if (found === null) return {};
  const image = found.image?.slug || String(found.image?.id ?? "");
  return { image, resizeDisk: true, gracefulShutdown: false };
}

async function deleteDroplet(
  api: Api,
  { id, state, timeoutSeconds }: Request & { id: string; state: Properties },
): Promise<void> {
  const seconds = timeoutSeconds ?? deleteSeconds;
  const unlocked = await step(`Error waiting for droplet to be unlocked for destroy (${id})`, () =>
    awaitDroplet(api, id, { seconds, is: () => true, whenGone: "stop" }),
  );
  if (unlocked === null) return;
  if (state.gracefulShutdown === true) await shutDown(api, id, seconds);
  for (const volumeId of unlocked.volume_ids) {
    await step(`Error detaching the volumes from the droplet (${id})`, () =>
      detachVolume(api, volumeId, id),
    );
  }
  await step("Error deleting droplet", async () => {
    await tolerateGone(() => api.droplets.delete(id));
    await api.poll(seconds, async () => ((await api.droplets.get(id)) === null ? true : null));
  });
}

async function shutDown(api: Api, id: string, seconds: number): Promise<void> {
  await step(`Error shutting down the the droplet (${id})`, () =>
    api.act(api.droplets.path(id), { type: "shutdown" }),
  );
  await step(`Error waiting for droplet (${id}) to become off`, () =>
    awaitDroplet(api, id, { seconds, is: ({ status }) => status === "off", whenGone: "stop" }),
  );
}
