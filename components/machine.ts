import { isIPv4 } from "node:net";
import * as digitalocean from "@pulumi/digitalocean";
import * as pulumi from "@pulumi/pulumi";
import { stringify } from "yaml";
import type { DropletSettings, ExistingSettings, Settings } from "../settings.ts";
import type { SshAccess } from "./host.ts";
import { sshKey } from "./keys.ts";

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
const openPorts = [
  22, // SSH
  25, // mail from other servers
  465, // submission in TLS
  587, // submission with STARTTLS
  993, // IMAP in TLS
  4190, // ManageSieve with STARTTLS
];

const anywhere = ["0.0.0.0/0", "::/0"];

/**
 * cloud-init's user_data: the machine comes up with the host key that we pin, and without passwords. Its names are the
 * system role's: only here do they win over what the cloud's own vendor data says.
 */
export function userData(hostKey: { private: string; public: string }): string {
  const config = {
    ssh_deletekeys: true,
    ssh_keys: { ed25519_private: hostKey.private, ed25519_public: hostKey.public },
    disable_root: false,
    ssh_pwauth: false,
    preserve_hostname: true,
    manage_etc_hosts: false,
  };
  return `#cloud-config\n${stringify(config, { lineWidth: 0, blockQuote: "literal" })}`;
}

/** A droplet with its firewall and its volume. */
export class Droplet extends pulumi.ComponentResource implements Machine {
  readonly ipv4: pulumi.Output<string>;
  readonly ipv6: pulumi.Output<string>;
  readonly ssh: Machine["ssh"];
  readonly identity: pulumi.Output<string>;
  readonly resource: pulumi.Resource;
  readonly ready: pulumi.Resource[];
  readonly volume: MailVolume;

  constructor(
    name: string,
    args: { hostname: string; droplet: DropletSettings; encryptVolume: boolean },
    opts: pulumi.ComponentResourceOptions,
  ) {
    super("mailfruit:machine:Droplet", name, {}, opts);
    const { droplet: settings } = args;
    const clientKey = sshKey(`${name}-ssh-key`, this);
    const hostKey = sshKey(`${name}-host-key`, this);
    const account = new digitalocean.SshKey(
      `${name}-account-key`,
      { name: args.hostname, publicKey: clientKey.publicKeyOpenssh },
      { parent: this },
    );
    const volume = this.#volume(name, settings, args.encryptVolume);
    const droplet = new digitalocean.Droplet(
      `${name}-droplet`,
      {
        // DigitalOcean makes the PTR records of the name.
        name: args.hostname,
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
            .all([hostKey.privateKeyOpenssh, hostKey.publicKeyOpenssh])
            .apply(([privateKey, publicKey]) =>
              userData({ private: privateKey, public: publicKey.trim() }),
            ),
        ),
      },
      // Its name is its PTR, and its volume can be at one droplet only: the old one goes first.
      { parent: this, deleteBeforeReplace: true },
    );
    this.ipv4 = droplet.ipv4Address;
    this.ipv6 = droplet.ipv6Address;
    this.identity = pulumi.interpolate`droplet ${droplet.id}, volume ${volume.id}`;
    this.resource = droplet;
    this.ssh = {
      address: droplet.ipv4Address,
      port: 22,
      user: "root",
      privateKey: clientKey.privateKeyOpenssh,
      hostKey: hostKey.publicKeyOpenssh.apply((key) => key.trim()),
    };
    this.volume = {
      device: pulumi.interpolate`/dev/disk/by-id/scsi-0DO_Volume_${volume.name}`,
      size: settings.mailVolumeSize,
    };
    this.ready = [this.#firewall(name, droplet)];
    this.registerOutputs({});
  }

  #firewall(name: string, droplet: digitalocean.Droplet): pulumi.Resource {
    return new digitalocean.Firewall(
      `${name}-firewall`,
      {
        dropletIds: [droplet.id.apply(Number)],
        inboundRules: [
          ...openPorts.map((port) => ({
            protocol: "tcp",
            portRange: String(port),
            sourceAddresses: anywhere,
          })),
          { protocol: "icmp", sourceAddresses: anywhere },
        ],
        outboundRules: [
          ...["tcp", "udp"].map((protocol) => ({
            protocol,
            portRange: "1-65535",
            destinationAddresses: anywhere,
          })),
          { protocol: "icmp", destinationAddresses: anywhere },
        ],
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
    ipv6: isIPv4(address) ? address6 : address,
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

export function machineOf(name: string, settings: Settings, parent: pulumi.Resource): Machine {
  return settings.machine.kind === "droplet"
    ? new Droplet(
        name,
        {
          hostname: settings.serverHostname,
          droplet: settings.machine,
          encryptVolume: settings.encryptVolume,
        },
        { parent },
      )
    : existingMachine(settings.machine);
}
