import * as pulumi from "@pulumi/pulumi";
import type { OnionService, ServiceName, TorSettings } from "../../settings/tor.ts";
import type { OnionNames } from "../onion.ts";
import { readRoleFolder } from "../role.ts";
import { folderName } from "./onion.ts";

export const folder = readRoleFolder("tor");

/** Where the daemons listen for what comes in by onion, on 127.0.0.1, by the port that clients know. */
export const onionPorts = {
  smtp: { 25: 10025 },
  users: { 465: 10465, 587: 10587, 993: 10993, 4190: 14190 },
} as const;

/** The torrc's variable parts; `sshPort` is where SSH listens on the server. */
export function variables(
  tor: TorSettings,
  names: OnionNames,
  sshPort: number,
): Record<string, pulumi.Input<string>> {
  const services = tor.services.map((service) =>
    names[service.name].apply((address) => serviceLines(service, address, sshPort)),
  );
  return {
    bridges: bridgeLines(tor.bridges).join("\n"),
    services: pulumi.all(services).apply((all) => all.flat().join("\n") || "# none"),
    extra: tor.extra.join("\n") || "# none",
  };
}

/** With bridges tor connects to nothing else. */
function bridgeLines(bridges: string[]): string[] {
  if (bridges.length === 0) return ["# none"];
  const plugin = "ClientTransportPlugin obfs4 exec /usr/bin/obfs4proxy";
  const needed = bridges.some((bridge) => bridge.startsWith("obfs4 ")) ? [plugin] : [];
  return ["UseBridges 1", ...needed, ...bridges.map((bridge) => `Bridge ${bridge}`)];
}

function serviceLines({ name }: OnionService, address: string, sshPort: number): string[] {
  return [
    `HiddenServiceDir /var/lib/tor/${folderName(name, address)}`,
    ...portLines(name, sshPort),
  ];
}

/** Each circuit gets an address of its own where the daemon can be told it (PROXY protocol); sshd can't. */
function portLines(name: ServiceName, sshPort: number): string[] {
  if (name === "ssh") return [`HiddenServicePort 22 127.0.0.1:${sshPort}`];
  const ports = Object.entries(onionPorts[name]);
  return [
    "HiddenServiceExportCircuitID haproxy",
    ...ports.map(([outside, inside]) => `HiddenServicePort ${outside} 127.0.0.1:${inside}`),
  ];
}
