import type { BridgedResource, Properties } from "../kit.ts";
import type { Api } from "./api.ts";
import { lowerCase, notEmpty, number, only, step, text, uniqueId } from "./rules.ts";
import type { Connect } from "./settings.ts";
import type { ReservedIp } from "./shapes.ts";

/** How long a droplet may be busy before an address is given to it. */
const idleSeconds = 120;

/** The droplet is told only of one that the state knows to have one. */
function outputsOf(ip: ReservedIp, known: Properties): Properties {
  const assigned = number(known.dropletId) !== 0 ? ip.droplet : null;
  const region = assigned?.region?.slug ?? ip.region?.slug ?? "";
  return {
    ...only(known, ["dropletId"]),
    ...(assigned ? { dropletId: assigned.id } : {}),
    region,
    ipAddress: ip.ip,
    reservedIpUrn: `do:reservedip:${ip.ip}`,
  };
}

async function assign(api: Api, ip: string, dropletId: number): Promise<void> {
  const droplet = `Error waiting for droplet (${dropletId}) to be ready for reserved IP assign`;
  await step(droplet, () =>
    api.poll(idleSeconds, async () => ((await api.isBusy(dropletId)) ? null : true)),
  );
  await step(`Error assigning reserved IP (${ip}) to the Droplet`, () =>
    act(api, ip, { type: "assign", droplet_id: dropletId }),
  );
}

const unassign = (api: Api, ip: string): Promise<void> =>
  step(`Error unassigning reserved IP (${ip}) from the droplet`, () =>
    act(api, ip, { type: "unassign" }),
  );

async function act(
  api: Api,
  ip: string,
  body: { type: string; droplet_id?: number },
): Promise<void> {
  const path = api.reservedIps.path(ip);
  await api.finish(await api.act(path, body), `${path}/actions`);
}

async function mustRead(api: Api, ip: string): Promise<ReservedIp> {
  const found = await step("Error retrieving reserved IP", () => api.reservedIps.get(ip));
  if (found === null) throw new Error(`Error retrieving reserved IP: ${ip} is gone`);
  return found;
}

export function reservedIp(connect: Connect): BridgedResource {
  return {
    attributes: {
      dropletId: {},
      ipAddress: { computed: true },
      region: { forceNew: true, stateForm: lowerCase },
    },
    computed: ["reservedIpUrn"],
    defaultsAreInputs: true,
    create: async ({ inputs, signal }) => {
      const api = await connect(signal);
      const body = { region: inputs.region };
      const made = await step("Error creating reserved IP", () => api.reservedIps.create(body));
      return { id: made.ip, outputs: outputsOf(made, {}) };
    },
    settle: async ({ id, inputs, signal }) => {
      const api = await connect(signal);
      const dropletId = number(inputs.dropletId);
      if (dropletId !== 0) await assign(api, id, dropletId);
      return outputsOf(await mustRead(api, id), inputs);
    },
    importState: async ({ id, signal }) => {
      const found = await (await connect(signal)).reservedIps.get(id);
      return { id, outputs: found?.droplet ? { dropletId: found.droplet.id } : {} };
    },
    read: async ({ id, state, signal }) => {
      const api = await connect(signal);
      const found = await step("Error retrieving reserved IP", () => api.reservedIps.get(id));
      return found === null ? null : outputsOf(found, state);
    },
    update: async ({ id, news, changed, signal }) => {
      const api = await connect(signal);
      const dropletId = number(news.dropletId);
      if (changed("dropletId")) {
        await (dropletId === 0 ? unassign(api, id) : assign(api, id, dropletId));
      }
      return outputsOf(await mustRead(api, id), news);
    },
    delete: async ({ id, state, signal }) => {
      const api = await connect(signal);
      if (number(state.dropletId) !== 0) await tolerateUnassigned(() => unassign(api, id));
      await step("Error deleting reserved IP", () => api.reservedIps.delete(id));
    },
  };
}

/** 422 is the API's answer where there is nothing to unassign. */
async function tolerateUnassigned(work: () => Promise<void>): Promise<void> {
  const { ApiError } = await import("./http.ts");
  try {
    await work();
  } catch (error) {
    const cause = error instanceof Error ? error.cause : undefined;
    if (!(cause instanceof ApiError && cause.status === 422)) throw error;
  }
}

export function reservedIpAssignment(connect: Connect): BridgedResource {
  return {
    attributes: {
      dropletId: { forceNew: true, validate: notEmpty },
      ipAddress: { forceNew: true },
    },
    computed: [],
    defaultsAreInputs: true,
    create: async ({ inputs, signal }) => {
      const [ipAddress, dropletId] = [text(inputs.ipAddress), number(inputs.dropletId)];
      await assign(await connect(signal), ipAddress, dropletId);
      return { id: uniqueId(`${dropletId}-${ipAddress}-`), outputs: { ipAddress, dropletId } };
    },
    importState: ({ id }) => {
      const [ipAddress = "", dropletId] = id.split(",");
      if (dropletId === undefined) {
        throw new Error(
          "must use the reserved IP and the ID of the Droplet joined with a comma " +
            "(e.g. `ip_address,droplet_id`)",
        );
      }
      const outputs = { ipAddress, dropletId: Number(dropletId) };
      return { id: uniqueId(`${dropletId}-${ipAddress}-`), outputs };
    },
    read: async ({ state, signal }) => {
      const found = await mustRead(await connect(signal), text(state.ipAddress));
      return found.droplet?.id === state.dropletId ? state : null;
    },
    delete: async ({ state, signal }) => {
      const api = await connect(signal);
      const found = await mustRead(api, text(state.ipAddress));
      if (found.droplet?.id === state.dropletId) await unassign(api, text(state.ipAddress));
    },
  };
}
