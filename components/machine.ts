import { isIP, isIPv4 } from "node:net";
import * as digitalocean from "@pulumi/digitalocean";
import * as pulumi from "@pulumi/pulumi";
import { stringify } from "yaml";
import type { OnionOnly } from "../settings/tor.ts";
import type {
  DropletSettings,
  ExistingSettings,
  Kind,
  Settings,
  TorSettings,
} from "../settings.ts";
import { type FirstBoot, firstBoot } from "./first-boot.ts";
import type { SshAccess } from "./host.ts";
import { sshKey } from "./keys.ts";
import type { OnionIdentity } from "./onion.ts";

/** A machine that a Host can be made of: where it is and how to log in. */
export interface Machine {
  ipv4: pulumi.Input<string> | null;
  ipv6: pulumi.Input<string> | null;
  ssh: SshAccess;
  /** Changes when the machine is another one. */
  identity: pulumi.Input<string>;
  /** What exists because of us and takes all on it with it when it goes; null where the machine was there before. */
  resource: pulumi.Resource | null;
  /** What must be there before the machine is used: its firewall. */
  ready: pulumi.Resource[];
  /** Where mail lies; null for the machine's own disk. */
  volume: MailVolume | null;
}

/** A block device for mail, accounts and queue. */
export interface MailVolume {
  /** Its path on the machine. */
  device: pulumi.Input<string>;
  /** GiB; null where it is the machine's own business. */
  size: number | null;
}

/** TCP ports that anybody may reach, and why. */
function openPorts(kind: Kind, onionOnly: OnionOnly): number[] {
  const servers = [25]; // mail from other servers
  const submissionAndReading = [
    465, // submission in TLS
    587, // submission with STARTTLS
    993, // IMAP in TLS
    4190, // ManageSieve with STARTTLS
  ];
  const users = kind === "gateway" ? [] : submissionAndReading;
  return {
    false: [22, ...servers, ...users],
    ssh: [...servers, ...users],
    users: servers,
    all: [],
  }[onionOnly];
}

const anywhere = ["0.0.0.0/0", "::/0"];
const allPorts = "1-65535";

/** What a firewall lets out: everything, or what Tor and its first download need. */
function outboundRules(onionOnly: OnionOnly) {
  const to = { destinationAddresses: anywhere };
  const tcp = { protocol: "tcp", portRange: allPorts, ...to };
  return onionOnly === "all"
    ? [tcp, { protocol: "udp", portRange: "53", ...to }]
    : [tcp, { protocol: "udp", portRange: allPorts, ...to }, { protocol: "icmp", ...to }];
}

/**
 * cloud-init's user_data: the machine comes up with the host key that we pin, and without passwords. Its names are the
 * system role's: only here do they win over what the cloud's own vendor data says.
 */
export function userData(
  hostKey: { private: string; public: string },
  firstBoot: Partial<FirstBoot> = {},
): string {
  const config = {
    ssh_deletekeys: true,
    ssh_keys: { ed25519_private: hostKey.private, ed25519_public: hostKey.public },
    disable_root: false,
    ssh_pwauth: false,
    preserve_hostname: true,
    manage_etc_hosts: false,
    ...firstBoot,
  };
  return `#cloud-config\n${stringify(config, { lineWidth: 0, blockQuote: "literal" })}`;
}

export interface DropletArgs {
  kind: Kind;
  hostname: string;
  droplet: DropletSettings;
  encryptVolume: boolean;
  tor: TorSettings | null;
  /** Null where no Tor runs on it. */
  onion: OnionIdentity | null;
}

/** As DigitalOcean's own panel calls a new droplet. */
const neutralName = ({ image, size, region }: DropletSettings) =>
  `${image.replace(/^\d/, "debian-$&")}-${size}-${region}`;

/** A droplet with its firewall and its volume. */
export class Droplet extends pulumi.ComponentResource implements Machine {
  readonly ipv4: pulumi.Output<string>;
  readonly ipv6: pulumi.Output<string>;
  readonly ssh: Machine["ssh"];
  readonly identity: pulumi.Output<string>;
  readonly resource: pulumi.Resource;
  readonly ready: pulumi.Resource[];
  readonly volume: MailVolume;

  constructor(name: string, args: DropletArgs, opts: pulumi.ComponentResourceOptions) {
    super("mailfruit:machine:Droplet", name, {}, opts);
    const { droplet: settings, tor, onion } = args;
    const onionOnly = tor?.onionOnly ?? "false";
    const byOnion = tor && onion && onionOnly !== "false" ? { tor, onion } : null;
    // DigitalOcean makes the PTR records of the name, and knows it: a hidden server's tells nothing.
    const hostname = onionOnly === "all" ? neutralName(settings) : args.hostname;
    const clientKey = sshKey(`${name}-ssh-key`, this);
    const hostKey = sshKey(`${name}-host-key`, this);
    const account = new digitalocean.SshKey(
      `${name}-account-key`,
      { name: hostname, publicKey: clientKey.publicKeyOpenssh },
      { parent: this },
    );
    const volume = this.#volume(name, settings, args.encryptVolume);
    const droplet = new digitalocean.Droplet(
      `${name}-droplet`,
      {
        name: hostname,
        image: settings.image,
        region: volume.region,
        size: settings.size,
        backups: settings.backups,
        // A disk that has grown can't shrink, and with it the size; all that grows is on the volume.
        resizeDisk: false,
        // A program of DigitalOcean's that may log in as root, with a package source of its own.
        dropletAgent: false,
        ipv6: true,
        volumeIds: [volume.id],
        // What is being delivered is delivered, and the volume is let go of, before a droplet is deleted.
        gracefulShutdown: true,
        sshKeys: [account.fingerprint],
        userData: pulumi.secret(
          pulumi
            .all([
              hostKey.privateKeyOpenssh,
              hostKey.publicKeyOpenssh,
              byOnion ? firstBoot(byOnion.tor, byOnion.onion) : undefined,
            ])
            .apply(([privateKey, publicKey, more]) =>
              userData({ private: privateKey, public: publicKey.trim() }, more),
            ),
        ),
      },
      {
        parent: this,
        // Its name is its PTR, and its volume can be at one droplet only: the old one goes first.
        deleteBeforeReplace: true,
        // Its first boot is past: other bridges or Tor settings come to it as to any server.
        ignoreChanges: byOnion ? ["userData"] : [],
      },
    );
    this.ipv4 = droplet.ipv4Address;
    this.ipv6 = droplet.ipv6Address;
    this.identity = pulumi.interpolate`droplet ${droplet.id}, volume ${volume.id}`;
    this.resource = droplet;
    this.ssh = {
      address: byOnion ? byOnion.onion.names.ssh : droplet.ipv4Address,
      port: 22,
      user: "root",
      privateKey: clientKey.privateKeyOpenssh,
      hostKey: hostKey.publicKeyOpenssh.apply((key) => key.trim()),
    };
    this.volume = {
      device: pulumi.interpolate`/dev/disk/by-id/scsi-0DO_Volume_${volume.name}`,
      size: settings.mailVolumeSize,
    };
    this.ready = [this.#firewall(name, droplet, openPorts(args.kind, onionOnly), onionOnly)];
    this.registerOutputs({});
  }

  #firewall(
    name: string,
    droplet: digitalocean.Droplet,
    ports: number[],
    onionOnly: OnionOnly,
  ): pulumi.Resource {
    const icmp = { protocol: "icmp", sourceAddresses: anywhere };
    return new digitalocean.Firewall(
      `${name}-firewall`,
      {
        dropletIds: [droplet.id.apply(Number)],
        inboundRules: [
          ...ports.map((port) => ({
            protocol: "tcp",
            portRange: String(port),
            sourceAddresses: anywhere,
          })),
          ...(onionOnly === "all" ? [] : [icmp]),
        ],
        outboundRules: outboundRules(onionOnly),
      },
      { parent: this },
    );
  }

  /** The volume, and the droplet's region, which is the volume's. One to be encrypted comes without a file system. */
  #volume(name: string, settings: DropletSettings, encrypted: boolean) {
    const volume = new digitalocean.Volume(
      `${name}-mail`,
      {
        region: settings.region,
        size: settings.mailVolumeSize,
        ...(!encrypted && { initialFilesystemType: "ext4" }),
        description: "Mail and accounts",
      },
      // Another region, or encryption, would be another, empty volume.
      { parent: this, ignoreChanges: ["region", "initialFilesystemType"] },
    );
    const region = pulumi
      .all([volume.region, volume.initialFilesystemType])
      .apply(([actual, fileSystem]) => {
        stayingAsMade(!fileSystem, encrypted);
        return stayingIn(actual, settings.region);
      });
    return { id: volume.id, name: volume.name, region };
  }
}

function stayingIn(actual: string, wanted: string): string {
  if (actual === wanted) return actual;
  throw new pulumi.RunError(
    `region is ${wanted}, and the volume with the mail is in ${actual}, which it can't leave; nothing was changed.\n` +
      `      pulumi config set region ${actual}`,
  );
}

function stayingAsMade(isEncrypted: boolean, wanted: boolean): void {
  if (isEncrypted === wanted) return;
  throw new pulumi.RunError(
    `encryptVolume is ${wanted}, and the volume with the mail is ${isEncrypted ? "encrypted" : "not"}; nothing was changed.\n` +
      `      pulumi config set encryptVolume ${isEncrypted}\n` +
      "      Moving the mail to another volume: docs/encrypted-volume.md",
  );
}

/** A machine that was there before, and stays when the stack goes. */
export function existingMachine(settings: ExistingSettings): Machine {
  const { address, address6 } = settings;
  return {
    ipv4: isIPv4(address) ? address : null,
    ipv6: isIP(address) === 6 ? address : address6,
    ssh: {
      address,
      port: settings.sshPort,
      user: settings.sshUser,
      privateKey: settings.sshPrivateKey,
      hostKey: settings.sshHostKey,
    },
    identity: `${address} port ${settings.sshPort}`,
    resource: null,
    ready: [],
    volume: settings.mailDevice === null ? null : { device: settings.mailDevice, size: null },
  };
}

export function machineOf(
  name: string,
  settings: Settings,
  onion: OnionIdentity | null,
  parent: pulumi.Resource,
): Machine {
  return settings.machine.kind === "droplet"
    ? new Droplet(
        name,
        {
          kind: settings.kind,
          hostname: settings.serverHostname,
          droplet: settings.machine,
          encryptVolume: settings.encryptVolume,
          tor: settings.tor,
          onion,
        },
        { parent },
      )
    : existingMachine(settings.machine);
}
