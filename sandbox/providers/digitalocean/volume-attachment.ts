import type { BridgedResource, Properties } from "../kit.ts";
import type { Api } from "./api.ts";
import { notEmpty, number, step, text, uniqueId } from "./rules.ts";
import type { Connect } from "./settings.ts";

/** A droplet does one thing at a time: how long to wait for the others. */
const pendingSeconds = 5 * 60;
const pendingMessage = "Droplet already has a pending event.";

export function volumeAttachment(connect: Connect): BridgedResource {
  return {
    attributes: {
      dropletId: { forceNew: true, validate: notEmpty },
      volumeId: { forceNew: true, validate: notEmpty },
    },
    computed: [],
    defaultsAreInputs: true,
    create: async ({ inputs, signal }) => {
      const api = await connect(signal);
      const [dropletId, volumeId] = [number(inputs.dropletId), text(inputs.volumeId)];
      const volume = await step("Error retrieving volume", () => api.volumes.get(volumeId));
      if (volume === null) throw new Error(`Error retrieving volume: ${volumeId} is gone`);
      if (volume.droplet_ids[0] !== dropletId) {
        await step("Error attaching volume to droplet after retry timeout", () =>
          whenIdle(api, volumeId, { type: "attach", droplet_id: dropletId }),
        );
      }
      return { id: uniqueId(`${dropletId}-${volumeId}-`), outputs: { dropletId, volumeId } };
    },
    importState: () => {
      throw new Error("resource digitalocean_volume_attachment doesn't support import");
    },
    read: async ({ state, signal }) =>
      (await isAttached(await connect(signal), state)) ? state : null,
    delete: async ({ state, signal }) => {
      const api = await connect(signal);
      const body = { type: "detach", droplet_id: number(state.dropletId) };
      await step("Error detaching volume from droplet after retry timeout", () =>
        whenIdle(api, text(state.volumeId), body),
      );
    },
  };
}

async function isAttached(api: Api, state: Properties): Promise<boolean> {
  const volume = await step("Error retrieving volume", () => api.volumes.get(text(state.volumeId)));
  return volume?.droplet_ids[0] === state.dropletId;
}

/** Acts on a volume as soon as its droplet has nothing else to do, and waits for the end. */
async function whenIdle(
  api: Api,
  volumeId: string,
  body: { type: string; droplet_id: number },
): Promise<void> {
  const { ApiError } = await import("./http.ts");
  const action = await api.poll(pendingSeconds, async () => {
    try {
      return await api.act(api.volumes.path(volumeId), body);
    } catch (error) {
      const busy =
        error instanceof ApiError && error.status === 422 && error.apiMessage === pendingMessage;
      if (busy) return null;
      throw error;
    }
  });
  await api.finish(action);
}
