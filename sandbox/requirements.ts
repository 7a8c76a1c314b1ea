import { access, constants } from "node:fs/promises";
import { run } from "./process.ts";

/** Why this machine can't run the sandbox, as one sentence; undefined where it can. */
export async function whyNoSandbox(): Promise<string | undefined> {
  if (process.platform !== "linux") {
    return `The sandbox needs Linux, and this is ${process.platform}.`;
  }
  if (process.getuid?.() !== 0) {
    return "The sandbox needs root for its guests and their network: run this as root.";
  }
  const hasApt = await access("/usr/bin/apt-get", constants.X_OK).then(
    () => true,
    () => false,
  );
  if (!hasApt) return "The sandbox needs Debian 12 or 13: there is no apt-get on this machine.";
  const namespaces = await run("unshare", ["--mount", "--net", "--pid", "--fork", "true"]);
  if (namespaces.code !== 0) {
    return "The sandbox needs namespaces of its own, which this machine doesn't allow (a container without privileges?).";
  }
  return undefined;
}
