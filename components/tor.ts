import type * as pulumi from "@pulumi/pulumi";
import { isHidden, type ServiceName, type TorSettings } from "../settings/tor.ts";
import type { FirstPackages } from "./host.ts";
import { certificateOfOwnCa, onionSeed, selfSignedCertificate, type TlsMaterial } from "./keys.ts";
import { type OnionIdentity, onionIdentity } from "./onion.ts";
import type { MakeRole, Role } from "./role.ts";
import * as downloads from "./roles/downloads.ts";
import * as hidden from "./roles/hidden.ts";
import * as mirror from "./roles/mirror.ts";
import * as onion from "./roles/onion.ts";
import * as tor from "./roles/tor.ts";

/** Names and keys of the server's onion services, whether each is served or not; null where no Tor runs on it. */
export function onionOf(
  name: string,
  settings: TorSettings | null,
  parent: pulumi.Resource,
): OnionIdentity | null {
  if (!settings?.managed) return null;
  const seed = settings.seed ?? onionSeed(`${name}-onion-seed`, parent);
  const rotation = (service: ServiceName) =>
    settings.services.find((each) => each.name === service)?.rotation ?? 0;
  return onionIdentity(seed, {
    users: rotation("users"),
    ssh: rotation("ssh"),
    smtp: rotation("smtp"),
  });
}

/** Certificates of the onion names. Users trust theirs by a CA of its own; other servers trust the name itself. */
export function onionCertificates(
  name: string,
  { names }: OnionIdentity,
  parent: pulumi.Resource,
): { users: TlsMaterial; smtp: TlsMaterial } {
  return {
    users: certificateOfOwnCa(`${name}-onion-users`, names.users, parent),
    smtp: selfSignedCertificate(`${name}-onion-smtp`, names.smtp, parent),
  };
}

/** What can't come by Tor: Tor itself, apt's way to it, and what the apply program needs. */
export function packagesBeforeTor(settings: TorSettings | null): FirstPackages | null {
  if (!settings) return null;
  const { proxy, managed } = settings;
  const ours = managed ? tor.folder.manifest.packages : [];
  const filter = isHidden({ tor: settings }) ? hidden.folder.manifest.packages : [];
  const apply = ["python3", "python3-yaml"];
  return {
    packages: [...downloads.folder.manifest.packages, ...ours, ...filter, ...apply].sort(),
    units: managed ? Object.keys(tor.folder.manifest.units) : [],
    proxy: managed ? "" : `socks5h://${proxy.host}:${proxy.port}`,
  };
}

/** Tor, and apt's way by it, before anything else is fetched. */
export function torRoles(
  role: MakeRole,
  settings: TorSettings,
  identity: OnionIdentity | null,
  sshPort: number,
): Role[] {
  const before = identity ? ownTor(role, settings, identity, sshPort) : [];
  const apt = role(downloads, downloads.variables(settings), before);
  return settings.mirror === "sources"
    ? [...before, apt]
    : [...before, apt, role(mirror, mirror.variables(settings.mirror), [apt])];
}

function ownTor(
  role: MakeRole,
  settings: TorSettings,
  identity: OnionIdentity,
  sshPort: number,
): Role[] {
  const keys = role(onion, onion.variables(settings.services, identity), [], { secret: true });
  const torrc = tor.variables(settings, identity.names, sshPort);
  const secret = { secret: settings.secretLines };
  const running = role(tor, torrc, [keys], secret);
  if (!isHidden({ tor: settings })) return [keys, running];
  return [keys, running, role(hidden, hidden.variables(settings), [running], secret)];
}
