import { isIPv4 } from "node:net";
import type { TorSettings } from "../../settings/tor.ts";
import { readRoleFolder } from "../role.ts";

export const folder = readRoleFolder("hidden");

/** The rule by which Tor gets out: to anybody, or to its bridges only. */
export function variables({ bridges }: Pick<TorSettings, "bridges">) {
  if (bridges.length === 0)
    return { whom: "to whichever relay it likes", allowed: rule("meta l4proto tcp") };
  return { whom: "to its bridges", allowed: bridges.map(toBridge).join("\n") };
}

const rule = (to: string) => `    meta skuid "debian-tor" ${to} accept`;

/** ADDRESS:PORT of a bridge line, in nft's words. */
function toBridge(bridge: string): string {
  const [, address = "", port = ""] = /^(?:obfs4 )?(\S+):(\d+)/.exec(bridge) ?? [];
  const bare = address.replace(/^\[|\]$/g, "");
  return rule(`${isIPv4(bare) ? "ip" : "ip6"} daddr ${bare} tcp dport ${port}`);
}
