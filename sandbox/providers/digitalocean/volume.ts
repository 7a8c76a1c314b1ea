import type { BridgedResource, Properties } from "../kit.ts";
import { inputsAsState } from "../kit.ts";
import {
  between,
  lowerCase,
  notEmpty,
  number,
  oneOf,
  only,
  step,
  tags,
  text,
  texts,
} from "./rules.ts";
import type { Connect } from "./settings.ts";
import type { Volume } from "./shapes.ts";
import { changeTags } from "./tagging.ts";

const fileSystem = oneOf("ext4", "xfs");

const attributes: BridgedResource["attributes"] = {
  description: { forceNew: true, validate: notEmpty },
  filesystemType: { computed: true, validate: fileSystem },
  initialFilesystemLabel: { forceNew: true, validate: notEmpty },
  initialFilesystemType: { forceNew: true, validate: fileSystem },
  name: { forceNew: true, validate: notEmpty },
  region: { forceNew: true, stateForm: lowerCase },
  size: { validate: between(1, Number.MAX_SAFE_INTEGER) },
  snapshotId: { forceNew: true, validate: notEmpty },
  tags,
};

/** The API does not tell what a volume was made from. */
const kept = ["initialFilesystemLabel", "initialFilesystemType", "snapshotId", "description"];

const given = (name: string, value: string): Properties => (value === "" ? {} : { [name]: value });

const outputsOf = (volume: Volume, known: Properties): Properties => ({
  ...only(known, kept),
  name: volume.name,
  region: volume.region.slug,
  size: volume.size_gigabytes,
  volumeUrn: `do:volume:${volume.id}`,
  tags: volume.tags,
  ...given("description", volume.description),
  filesystemType: volume.filesystem_type,
  filesystemLabel: volume.filesystem_label,
  dropletIds: volume.droplet_ids,
});

const requestOf = (inputs: Properties) => ({
  region: text(inputs.region).toLowerCase(),
  name: inputs.name,
  description: text(inputs.description),
  size_gigabytes: inputs.size,
  snapshot_id: text(inputs.snapshotId),
  filesystem_type: text(inputs.initialFilesystemType) || text(inputs.filesystemType),
  filesystem_label: text(inputs.initialFilesystemLabel),
  tags: texts(inputs.tags),
});

export function volume(connect: Connect): BridgedResource {
  return {
    attributes,
    computed: ["dropletIds", "filesystemLabel", "volumeUrn"],
    defaultsAreInputs: true,
    autoName: { maxLength: 64, transform: lowerCase },
    plan: (state, inputs) => {
      if (state !== null && typeof inputs.size === "number" && inputs.size < number(state.size)) {
        throw new Error("volumes `size` can only be expanded and not shrunk");
      }
      return undefined;
    },
    create: async ({ inputs, signal }) => {
      const api = await connect(signal);
      const made = await step("Error creating Volume", () => api.volumes.create(requestOf(inputs)));
      return { id: made.id, outputs: outputsOf(made, inputsAsState(attributes, inputs)) };
    },
    read: async ({ id, state, signal }) => {
      const api = await connect(signal);
      const found = await step("Error retrieving volume", () => api.volumes.get(id));
      return found === null ? null : outputsOf(found, state);
    },
    update: async ({ id, oldState, news, changed, signal }) => {
      const api = await connect(signal);
      if (changed("size")) {
        const body = { type: "resize", size_gigabytes: news.size, region: oldState.region };
        await step(`Error resizing volume (${id})`, async () =>
          api.finish(await api.act(api.volumes.path(id), body)),
        );
      }
      if (changed("tags")) await changeTags(api, { id, type: "volume" }, oldState, news);
      const found = await step("Error retrieving volume", () => api.volumes.get(id));
      if (found === null) throw new Error(`volume ${id} is gone`);
      return outputsOf(found, inputsAsState(attributes, news));
    },
    delete: async ({ id, signal }) => {
      const api = await connect(signal);
      await step("Error deleting volume", () => api.volumes.delete(id));
    },
  };
}
