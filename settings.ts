import { isIP } from "node:net";
import * as pulumi from "@pulumi/pulumi";
import { z } from "zod";
import { type Kind, kindContradictions, kindFields } from "./settings/gateway.ts";
import { type Mailbox, mailboxesText, readMailboxes } from "./settings/mailboxes.ts";
import { isOnionAddress } from "./settings/onion-address.ts";
import {
  type OnionPeer,
  peerContradictions,
  peerFields,
  peersOf,
  type Smarthost,
  smarthostOf,
} from "./settings/peers.ts";
import { type Problem, shellWord } from "./settings/problem.ts";
import {
  email,
  type Field,
  flag,
  hostname,
  integer,
  ip,
  longestDomain,
  longestHostname,
  oneOf,
  onion,
  orEmpty,
  slug,
  tooLong,
} from "./settings/text.ts";
import {
  encryptsVolume,
  managesTor,
  onionOnlyIn,
  type Profile,
  serviceNames,
  type TorSettings,
  torContradictions,
  torFields,
  torOf,
} from "./settings/tor.ts";

/**
 * The stack's configuration, parsed once and strictly. Every key stands in Pulumi.yaml with its default and its sentence.
 * This is the only place that reads configuration; all problems are reported together, before any resource is made.
 */
export interface Settings {
  kind: Kind;
  mailDomain: string;
  /** Fully qualified, below `mailDomain`. */
  serverHostname: string;
  adminEmail: string;
  debug: boolean;
  inboundTls: "required" | "opportunistic";
  dns: "domain" | "records" | "manual";
  encryptVolume: boolean;
  machine: DropletSettings | ExistingSettings;
  mailboxes: Mailbox[];
  profile: Profile;
  /** Null where nothing uses Tor. */
  tor: TorSettings | null;
  peers: OnionPeer[];
  smarthost: Smarthost | null;
  /**
   * Of a gateway, the SHA-256 fingerprint of the key by which its hidden server hands in mail for others; null where that
   * has no mail passed on.
   */
  gatewayClient: string | null;
}

export type { Field, Kind, Mailbox, OnionPeer, Problem, Smarthost, TorSettings };

export interface DropletSettings {
  kind: "droplet";
  region: string;
  size: string;
  image: string;
  backups: boolean;
  /** GiB */
  mailVolumeSize: number;
}

export interface ExistingSettings {
  kind: "existing";
  /** IPv4, IPv6, or an onion name. */
  address: string;
  /** A second, IPv6 address; null if there is none. */
  address6: string | null;
  /** The path of a block device for mail; null for the machine's own disk. */
  mailDevice: string | null;
  sshPort: number;
  sshUser: string;
  /** As in known_hosts without the host: "ssh-ed25519 AAAA…". */
  sshHostKey: string;
  sshPrivateKey: pulumi.Output<string>;
}

/** The problems of a configuration, as one error for the person at the keyboard. */
export class SettingsError extends pulumi.RunError {
  readonly problems: Problem[];

  constructor(problems: Problem[]) {
    const count = problems.length === 1 ? "1 problem" : `${problems.length} problems`;
    const lines = problems.map(({ key, message, mend }) => `  ${key}: ${message}\n      ${mend}`);
    super(`${count} in the stack's configuration; nothing was changed.\n${lines.join("\n")}`);
    this.problems = problems;
  }
}

/** Of each setting: how its text is read, and an example that a mending command can show. */
export const fields = {
  mailDomain: {
    type: hostname.max(longestDomain, `with mx. before it ${tooLong}`),
    example: "example.org",
  },
  serverHostname: {
    type: orEmpty(hostname.max(longestHostname, tooLong)),
    example: "mail.example.org",
  },
  adminEmail: { type: email, example: "you@example.org" },
  debug: { type: flag, example: "false" },
  mailboxes: { type: mailboxesText, path: `["anna@example.org"].quota`, example: "2048" },
  inboundTls: { type: oneOf("required", "opportunistic"), example: "required" },
  dns: { type: oneOf("domain", "records", "manual"), example: "domain" },
  machine: { type: oneOf("droplet", "existing"), example: "droplet" },
  region: { type: slug, example: "fra1" },
  size: { type: slug, example: "s-1vcpu-2gb" },
  image: { type: slug, example: "debian-13-x64" },
  backups: { type: flag, example: "false" },
  mailVolumeSize: { type: integer(1, 16384), example: "10" },
  encryptVolume: { type: orEmpty(flag), example: "true" },
  address: {
    type: orEmpty(z.union([onion, ip], "must be an IPv4 or IPv6 address, or an onion name")),
    example: "192.0.2.10",
  },
  address6: {
    type: orEmpty(z.string().refine((text) => isIP(text) === 6, "must be an IPv6 address")),
    example: "2001:db8::10",
  },
  mailDevice: {
    type: orEmpty(
      z
        .string()
        .regex(
          /^\/dev\/disk\/by-[a-z]+\/[\w.:+@-]+$/,
          "must be a device below /dev/disk/by-id, by-path or by-partuuid",
        ),
    ),
    example: "/dev/disk/by-id/ata-DISK_SERIAL",
  },
  sshPort: { type: integer(1, 65535), example: "22" },
  sshUser: {
    type: z.string().regex(/^[a-z_][a-z0-9_-]{0,31}$/, "must be a user name"),
    example: "root",
  },
  sshHostKey: {
    type: orEmpty(
      z
        .string()
        .regex(
          /^(ssh-ed25519|ecdsa-sha2-nistp\d+) [A-Za-z0-9+/]+=*( .*)?$/,
          "must be a public key, as the machine's /etc/ssh/ssh_host_ed25519_key.pub",
        ),
    ),
    example: "'ssh-ed25519 AAAA…'",
  },
  sshPrivateKey: {
    type: orEmpty(
      z
        .string()
        .regex(
          /^-----BEGIN ([A-Z ]*PRIVATE KEY)-----\n.+\n-----END \1-----\s*$/s,
          "must be a whole private key in OpenSSH's format",
        ),
    ),
    example: "< ~/.ssh/id_ed25519",
    secret: true,
  },
  ...torFields,
  ...peerFields,
  ...kindFields,
} satisfies Record<string, Field>;

export type Key = keyof typeof fields;
type Values = { [K in Key]: z.output<(typeof fields)[K]["type"]> };

const project = "mailfruit";
/** Namespaces that are other people's: the engine's and the providers'. */
const foreignNamespaces = ["pulumi", "digitalocean", "command", "tls"];
/** Settings that mean something with one kind of machine only, with the value that leaves them unset. */
const dropletKeys = {
  region: "fra1",
  size: "s-1vcpu-2gb",
  image: "debian-13-x64",
  backups: "false",
  mailVolumeSize: "10",
};
const existingKeys = {
  address: "",
  address6: "",
  mailDevice: "",
  sshHostKey: "",
  sshPrivateKey: "",
  sshPort: "22",
  sshUser: "root",
};

/** The command that sets a setting, with its example. */
export function settingCommand(key: string, { path, example, secret }: Field): string {
  const place = path === undefined ? key : `--path ${shellWord(key + path)}`;
  return `pulumi config set ${secret ? "--secret " : ""}${place} ${example}`;
}

const mendBySetting = (key: Key) => settingCommand(key, fields[key]);

const mendByRemoving = (fullKey: string) => `pulumi config rm ${shellWord(fullKey)}`;

const isKey = (name: string): name is Key => Object.hasOwn(fields, name);

/** Levenshtein distance, for suggestions: https://en.wikipedia.org/wiki/Levenshtein_distance */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (const [i, x] of [...a].entries()) {
    const next = [i + 1];
    for (const [j, y] of [...b].entries()) {
      const substitution = (row[j] ?? 0) + (x === y ? 0 : 1);
      next.push(Math.min((row[j + 1] ?? 0) + 1, (next[j] ?? 0) + 1, substitution));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}

function nearest(name: string, candidates: string[]): string | undefined {
  const [best] = candidates
    .map((candidate) => ({
      candidate,
      apart: distance(name.toLowerCase(), candidate.toLowerCase()),
    }))
    .sort((a, b) => a.apart - b.apart);
  const near = Math.min(3, Math.ceil(name.length / 2));
  return best !== undefined && best.apart <= near ? best.candidate : undefined;
}

const misspeltProvider = (key: string, meant: string): Problem => ({
  key,
  message: `nothing reads this; did you mean ${meant}?`,
  mend: mendByRemoving(key),
});

/** Keys that nobody reads: misspelt ones, and ones in a misspelt namespace. */
function strangers(fullKeys: string[]): Problem[] {
  return fullKeys.flatMap((key): Problem[] => {
    const [namespace = "", name = ""] = key.split(":", 2);
    if (foreignNamespaces.includes(namespace)) return [];
    const meant = isKey(name) ? name : nearest(name, Object.keys(fields));
    const mend =
      meant && isKey(meant)
        ? `${mendBySetting(meant)} && ${mendByRemoving(key)}`
        : mendByRemoving(key);
    const hint = meant ? `; did you mean ${project}:${meant}?` : ".";
    if (namespace === project)
      return isKey(name) ? [] : [{ key, message: `there is no such setting${hint}`, mend }];
    const foreign = isKey(name) ? undefined : nearest(namespace, foreignNamespaces);
    if (foreign) return [misspeltProvider(key, `${foreign}:${name}`)];
    return [{ key, message: `nothing reads the namespace ${namespace}${hint}`, mend }];
  });
}

/** Reads each text by its type; settings of a wrong type are reported and left out. */
function readValues(
  texts: Record<string, string>,
  defaults: Record<string, string>,
  isSecret: (fullKey: string) => boolean,
) {
  const problems: Problem[] = [];
  const values: Record<string, unknown> = {};
  for (const [key, field] of Object.entries(fields)) {
    if (!isKey(key)) continue;
    const fullKey = `${project}:${key}`;
    const text = texts[fullKey] ?? defaults[key] ?? "";
    const result = field.type.safeParse(text);
    if (result.success) {
      values[key] = result.data;
      continue;
    }
    const hidden =
      "secret" in field || "path" in field || isSecret(fullKey) || text.includes("PRIVATE KEY");
    const found = hidden ? "" : `, and is ${JSON.stringify(text)}`;
    const message = text === "" ? "must be set" : innermost(result.error) + found;
    problems.push({ key: fullKey, message, mend: mendBySetting(key) });
  }
  return { values, problems };
}

/** A union's own words are "Invalid input"; those of its last branch tell what was wanted. */
function innermost(error: z.ZodError): string {
  const issue = error.issues[0];
  if (issue?.code === "invalid_union") return issue.errors.at(-1)?.[0]?.message ?? issue.message;
  return issue?.message ?? error.message;
}

/** Values that are right one by one and wrong together. Those that are missing here are reported already. */
function contradictions(values: Partial<Values>, texts: Record<string, string>): Problem[] {
  const problems: Problem[] = [];
  const report = (key: Key, message: string, mend = mendBySetting(key)) =>
    problems.push({ key: `${project}:${key}`, message, mend });

  const { mailDomain, serverHostname, machine } = values;
  if (mailDomain && serverHostname && !serverHostname.endsWith(`.${mailDomain}`))
    report(
      "serverHostname",
      `${serverHostname} must lie below the mail domain ${mailDomain}, whose DNS this stack keeps`,
      `pulumi config set serverHostname mail.${mailDomain}`,
    );
  if (mailDomain && serverHostname === "" && `mail.${mailDomain}`.length > longestHostname)
    report(
      "serverHostname",
      `mail.${mailDomain}, which it stands for when empty, ${tooLong}`,
      `pulumi config set serverHostname mx.${mailDomain}`,
    );
  if (machine === "existing") {
    for (const key of ["address", "sshHostKey", "sshPrivateKey"] as const)
      if (values[key] === "") report(key, "must be set where machine is existing");
    if (encryptsVolumeIn(values) && values.mailDevice === "")
      report(
        "mailDevice",
        "must be set where encryptVolume is true: a machine's own disk stays as it is",
      );
    const onlyByOnion = onionOnlyIn(values, values.debug ?? false) !== "false";
    if (onlyByOnion && values.address && !isOnionAddress(values.address))
      report(
        "address",
        "must be the onion name of the machine's SSH where onionOnly closes its SSH in the clear (docs/tor.md)",
        "pulumi config set onionOnly false",
      );
    if (values.address6 && isIP(values.address ?? "") === 6)
      report(
        "address6",
        "is for a machine whose address is IPv4; address is IPv6 already",
        mendByRemoving("address6"),
      );
  }
  torContradictions(values, values.debug, report);
  const managed = managesTor(values, values.debug ?? false);
  const onionOnly = onionOnlyIn(values, values.debug ?? false);
  peerContradictions(values, { managed, onionOnly }, report);
  kindContradictions(values, { ...restOf(values), managesTor: managed, onionOnly }, report);
  const idle: Record<string, string> =
    machine === "existing" ? dropletKeys : machine === "droplet" ? existingKeys : {};
  for (const [key, unset] of Object.entries(idle)) {
    const text = texts[`${project}:${key}`];
    if (text !== undefined && text !== unset && isKey(key))
      report(key, `means nothing where machine is ${machine}`, mendByRemoving(key));
  }
  return problems;
}

/** What a gateway has a say in, as far as it is known. */
const restOf = ({ mailDomain, onionPeers, mailboxes, onionServices }: Partial<Values>) => ({
  mailDomain,
  peers: Object.entries(onionPeers ?? {}).flatMap(([domain, { address }]) =>
    address === undefined ? [] : [domain],
  ),
  mailboxes: Object.keys(mailboxes ?? {}),
  services: serviceNames.filter((name) => onionServices?.[name]),
});

/** A private key that stands in the stack's file as it is. */
function unprotected(texts: Record<string, string>, isSecret: (key: string) => boolean): Problem[] {
  return Object.entries(fields).flatMap(([key, field]): Problem[] => {
    const fullKey = `${project}:${key}`;
    if (!isKey(key) || !("secret" in field) || !texts[fullKey] || isSecret(fullKey)) return [];
    return [
      { key: fullKey, message: "is a secret and stands in plain text", mend: mendBySetting(key) },
    ];
  });
}

/** The address of the user for trying things out, or null where there is none. */
export function testAddressOf({ debug, mailDomain }: Pick<Settings, "debug" | "mailDomain">) {
  return debug ? `test@${mailDomain}` : null;
}

/** The mailboxes, whose addresses have to fit the mail domain. */
function mailboxesOf(values: Partial<Values>, isSecret: (fullKey: string) => boolean) {
  const { mailDomain, debug } = values;
  const testAddress = mailDomain && debug ? testAddressOf({ mailDomain, debug }) : null;
  const read = readMailboxes(values.mailboxes ?? {}, { mailDomain, testAddress });
  const key = `${project}:mailboxes`;
  const message =
    "has a secret in it; addresses, quotas and aliases are none, and a password never stands here";
  if (read.mailboxes.length + read.problems.length > 0 && isSecret(key))
    read.problems.push({ key, message, mend: mendByRemoving("mailboxes") });
  return read;
}

/** Whether the volume is encrypted, by the setting or by the profile. */
function encryptsVolumeIn({ encryptVolume, profile }: Partial<Values>): boolean {
  if (encryptVolume !== undefined && encryptVolume !== "") return encryptVolume;
  return profile !== undefined && encryptsVolume(profile);
}

function assemble(
  values: Values,
  mailboxes: Mailbox[],
  isSecret: (fullKey: string) => boolean,
): Settings {
  const { mailDomain } = values;
  return {
    kind: values.kind,
    mailDomain,
    serverHostname:
      values.serverHostname || `${values.kind === "gateway" ? "mx" : "mail"}.${mailDomain}`,
    adminEmail: values.adminEmail,
    debug: values.debug,
    inboundTls: values.inboundTls,
    dns: values.dns,
    encryptVolume: encryptsVolumeIn(values),
    mailboxes,
    profile: values.profile,
    tor: torOf(values, {
      debug: values.debug,
      seed: values.onionSeed === "" ? null : pulumi.secret(values.onionSeed),
      secretLines: ["torBridges", "torrcExtra"].some((key) => isSecret(`${project}:${key}`)),
      offered: serviceNames.filter((name) => values.kind === "mail" || name !== "users"),
    }),
    peers: peersOf(values),
    smarthost: smarthostOf(values),
    gatewayClient: values.gatewayClient || null,
    machine:
      values.machine === "droplet"
        ? {
            kind: "droplet",
            region: values.region,
            size: values.size,
            image: values.image,
            backups: values.backups,
            mailVolumeSize: values.mailVolumeSize,
          }
        : {
            kind: "existing",
            address: values.address,
            address6: values.address6 || null,
            mailDevice: values.mailDevice || null,
            sshPort: values.sshPort,
            sshUser: values.sshUser,
            sshHostKey: values.sshHostKey,
            sshPrivateKey: pulumi.secret(values.sshPrivateKey),
          },
  };
}

/**
 * Parses a configuration: `texts` by full key ("mailfruit:mailDomain"), as the engine gives it.
 * Throws a SettingsError with every problem there is.
 */
export function parseSettings(
  texts: Record<string, string>,
  options: { defaults?: Record<string, string>; isSecret?: (key: string) => boolean } = {},
): Settings {
  const isSecret = options.isSecret ?? ((key) => key === `${project}:sshPrivateKey`);
  const { values, problems } = readValues(texts, options.defaults ?? {}, isSecret);
  const given: Partial<Values> = values; // each value was read by its own field's type
  const { mailboxes, problems: ofMailboxes } = mailboxesOf(given, isSecret);
  problems.push(
    ...strangers(Object.keys(texts)),
    ...contradictions(given, texts),
    ...ofMailboxes,
    ...unprotected(texts, isSecret),
  );
  if (problems.length > 0) throw new SettingsError(problems);
  return assemble(values as Values, mailboxes, isSecret); // no problem: all fields are there
}

/** The running stack's settings; the engine has put in the defaults of Pulumi.yaml. */
export function loadSettings(): Settings {
  return parseSettings(pulumi.runtime.allConfig(), {
    isSecret: (key) => secretKeys().includes(key),
  });
}

/** The SDK doesn't tell which keys are secret; the engine's message to it does (its runtime/config.ts). */
function secretKeys(): string[] {
  return z.array(z.string()).parse(JSON.parse(process.env.PULUMI_CONFIG_SECRET_KEYS ?? "[]"));
}
