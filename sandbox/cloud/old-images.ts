import { readdir, readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { paths, sandboxDir } from "../paths.ts";
import { succeeds } from "./command.ts";
import { imagePath } from "./image.ts";

/** Removes images of former recipes that no guest of this checkout started from. */
export async function removeOldImages(): Promise<void> {
  const current = dirname(await imagePath("droplet"));
  const names = (await readdir(paths.image)).filter((name) => /^[0-9a-f]{12}$/.test(name));
  const old = names.map((name) => join(paths.image, name)).filter((image) => image !== current);
  if (old.length === 0) return;
  const records = (await guestRecords()).join("\n");
  for (const image of old.filter((folder) => !records.includes(folder))) {
    await succeeds("rm", ["-rf", "--one-file-system", image]);
  }
}

/** Of every state folder: tests have their own. */
async function guestRecords(): Promise<string[]> {
  const folders = await readdir(sandboxDir);
  const guests = await Promise.all(
    folders.map(async (folder) => {
      const names = await readdir(join(sandboxDir, folder, "guests")).catch(() => []);
      return names.map((name) => join(sandboxDir, folder, "guests", name, "guest.json"));
    }),
  );
  return Promise.all(guests.flat().map((file) => readFile(file, "utf8").catch(() => "")));
}
