import type { Properties } from "../kit.ts";
import type { Api } from "./api.ts";
import { step, texts } from "./rules.ts";

/** Brings a resource's tags from those of the old state to those of the program. */
export async function changeTags(
  api: Api,
  resource: { id: string; type: "droplet" | "volume" },
  oldState: Properties,
  news: Properties,
): Promise<void> {
  const [olds, wanted] = [texts(oldState.tags), texts(news.tags)];
  const body = { resources: [{ resource_id: resource.id, resource_type: resource.type }] };
  await step("Error updating tags", async () => {
    for (const tag of olds.filter((name) => !wanted.includes(name))) {
      await api.send("DELETE", `${api.tags.path(tag)}/resources`, body);
    }
    for (const tag of wanted.filter((name) => !olds.includes(name))) {
      const made = await api.tags.create({ name: tag });
      await api.send("POST", `${api.tags.path(made.name)}/resources`, body);
    }
  });
}
