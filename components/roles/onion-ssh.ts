import type { TorSettings } from "../../settings/tor.ts";
import { readRoleFolder } from "../role.ts";

export const folder = readRoleFolder("onion-ssh");

/** Where SSH listens. */
export function variables({ onionOnly }: Pick<TorSettings, "onionOnly">) {
  return { listen: onionOnly === "false" ? "" : "# Only by onion.\nListenAddress 127.0.0.1" };
}
