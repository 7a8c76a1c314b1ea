import type { TorSettings } from "../../settings/tor.ts";
import { readRoleFolder } from "../role.ts";

export const folder = readRoleFolder("downloads");

/** The SOCKS proxy, and whether the Tor behind it is ours to ask. */
export function variables({ proxy, managed }: TorSettings) {
  const { host, port } = proxy;
  return {
    proxy: `${host}:${port}`,
    host: host.replace(/^\[|\]$/g, ""),
    port: String(port),
    managed: managed ? "True" : "False",
  };
}
