import * as pulumi from "@pulumi/pulumi";
import { isHidden, type TorSettings } from "../settings/tor.ts";
import type { OnionIdentity } from "./onion.ts";
import { filesOf, type ServerFile } from "./role.ts";
import * as downloads from "./roles/downloads.ts";
import * as hidden from "./roles/hidden.ts";
import * as onion from "./roles/onion.ts";
import * as onionSsh from "./roles/onion-ssh.ts";
import * as tor from "./roles/tor.ts";
import { packagesBeforeTor } from "./tor.ts";

/** What cloud-init does beside what it does for every droplet: keys of its configuration. */
export interface FirstBoot {
  package_update: boolean;
  packages: string[];
  write_files: { path: string; content: string; permissions: string; defer: boolean }[];
  runcmd: string[][];
}

/**
 * The first boot of a machine whose SSH is reached by onion only: cloud-init fetches Tor, in the clear, and starts it with
 * the keys of the SSH service. SSH never listens to anybody else, and from then on all goes by Tor. The files are those of
 * the roles, which find them there. Secret.
 */
export function firstBoot(
  settings: TorSettings,
  identity: OnionIdentity,
): pulumi.Output<FirstBoot> {
  const ssh = settings.services.filter(({ name }) => name === "ssh");
  const only = { ...settings, services: ssh };
  const variables = pulumi.all([
    pulumi.output(onion.variables(ssh, identity)),
    pulumi.output(tor.variables(only, identity.names, 22)),
  ]);
  return pulumi.secret(
    variables.apply(([keys, torrc]) =>
      configuration(settings, [
        ...filesOf(onion.folder, keys),
        ...filesOf(tor.folder, torrc),
        ...filesOf(downloads.folder, downloads.variables(settings)),
        ...filesOf(onionSsh.folder, onionSsh.variables(settings)),
        ...(isHidden({ tor: settings }) ? hiddenFiles(settings) : []),
      ]),
    ),
  );
}

/** Without the one by which cloud-init is off: it is just at work. */
const hiddenFiles = (settings: TorSettings) =>
  filesOf(hidden.folder, hidden.variables(settings)).filter(
    ({ path }) => !path.startsWith("/etc/cloud/"),
  );

/** Holds daemons while packages are installed; tor must not make keys of its own. */
const policy = { path: "/usr/sbin/policy-rc.d", text: "#!/bin/sh\nexit 101\n", mode: "0755" };

function configuration(settings: TorSettings, files: ServerFile[]): FirstBoot {
  return {
    package_update: true,
    packages: packagesBeforeTor(settings)?.packages ?? [],
    write_files: [policy, ...files].map(({ path, text, mode }) => ({
      path,
      content: text,
      permissions: mode,
      // SSH must find its file when it starts; apt must not find its own before it has fetched Tor.
      defer: path !== policy.path && !path.startsWith("/etc/ssh/"),
    })),
    runcmd: [
      ...(isHidden({ tor: settings }) ? startHidden : []),
      ["/usr/local/lib/mailfruit/onion-folders", "make"],
      ["rm", "-f", policy.path],
      ["systemctl", "enable", "--now", "tor.service"],
    ],
  };
}

const startHidden = [
  ["systemctl", "daemon-reload"],
  ["systemctl", "enable", "--now", "hidden.service"],
];
