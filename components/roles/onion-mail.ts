import * as pulumi from "@pulumi/pulumi";
import { isHidden } from "../../settings/tor.ts";
import type { Settings } from "../../settings.ts";
import type { OnionNames } from "../onion.ts";
import { readRoleFolder } from "../role.ts";

export const folder = readRoleFolder("onion-mail");

/**
 * The peers as the program on the server reads them. A hidden server asks no DNS what others publish, and a gateway has no
 * other way to its hidden server.
 */
export function variables(settings: Settings, onion: Partial<OnionNames>) {
  const { smarthost, kind, mailDomain } = settings;
  const peers = settings.peers.map(({ domain, address, only }) => [
    domain,
    { address, only: only || (kind === "gateway" && domain === mailDomain) },
  ]);
  const config = {
    peers: Object.fromEntries(peers),
    asksDns: !isHidden(settings),
    smarthost: smarthost && { host: smarthost.host, port: smarthost.port },
  };
  return {
    peers: pulumi
      .output(onion.smtp)
      .apply((own) => `${JSON.stringify({ ...config, own: own ?? null }, null, 2)}\n`),
  };
}
