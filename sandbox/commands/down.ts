import { readFile, rm } from "node:fs/promises";
import { stopCloud } from "../cloud/client.ts";
import { installedByUs, removePolicy } from "../host-packages.ts";
import { sandboxDir } from "../paths.ts";

/** Stops what runs and takes the network away; `all`: removes what is on disk as well. */
export async function down(options: { all?: boolean }): Promise<void> {
  await stopCloud();
  await removePolicy();
  if (!options.all) {
    console.log(
      "Nothing of the sandbox runs any more. Its guests are kept: `npm run demo` goes on with them.",
    );
    return;
  }
  const packages = await installedByUs();
  await removeEverything();
  console.log("The sandbox is gone from this machine.");
  if (packages.length > 0) {
    console.log(
      `Debian packages that it installed; to remove them: apt-get purge ${packages.join(" ")}`,
    );
  }
}

/** Through a mount that is left, the removal would reach what isn't ours. */
async function removeEverything(): Promise<void> {
  const mounts = await readFile("/proc/self/mounts", "utf8").catch(() => "");
  const below = mounts
    .split("\n")
    .filter((line) => line.split(" ")[1]?.startsWith(`${sandboxDir}/`));
  if (below.length > 0) {
    throw new Error(
      `Something is still mounted below ${sandboxDir}; nothing was removed:\n${below.join("\n")}`,
    );
  }
  await rm(sandboxDir, { recursive: true, force: true });
}
