import type { BridgedResource, Properties } from "../kit.ts";
import { isTag, step } from "./rules.ts";
import type { Connect } from "./settings.ts";
import type { Tag } from "./shapes.ts";

const outputsOf = ({ name, resources }: Tag): Properties => ({
  name,
  totalResourceCount: resources?.count ?? 0,
  dropletsCount: resources?.droplets ?? 0,
  imagesCount: resources?.images ?? 0,
  volumesCount: resources?.volumes ?? 0,
  volumeSnapshotsCount: resources?.volume_snapshots ?? 0,
  databasesCount: resources?.databases ?? 0,
});

export function tag(connect: Connect): BridgedResource {
  return {
    attributes: { name: { forceNew: true, validate: isTag } },
    computed: [
      "totalResourceCount",
      "dropletsCount",
      "imagesCount",
      "volumesCount",
      "volumeSnapshotsCount",
      "databasesCount",
    ],
    defaultsAreInputs: true,
    autoName: { maxLength: 255 },
    create: async ({ inputs, signal }) => {
      const api = await connect(signal);
      const made = await step("Error creating tag", () => api.tags.create({ name: inputs.name }));
      return { id: made.name, outputs: outputsOf(made) };
    },
    read: async ({ id, signal }) => {
      const api = await connect(signal);
      const found = await step("Error retrieving tag", () => api.tags.get(id));
      return found === null ? null : outputsOf(found);
    },
    delete: async ({ id, signal }) => {
      const api = await connect(signal);
      await step("Error deleting tag", () => api.tags.delete(id));
    },
  };
}
