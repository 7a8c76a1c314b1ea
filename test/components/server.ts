import assert from "node:assert/strict";
import { parse } from "yaml";
import { z } from "zod";
import { MailServer } from "../../components/mail-server.ts";
import { parseSettings } from "../../settings.ts";
import { defaults } from "../unit/defaults.ts";
import { canary, plain, type Requested, requestedBy } from "./mock-engine.ts";

export const command = "command:remote:Command";
export const hostKey = `ssh-ed25519 ${"A".repeat(68)}`;
/** Settings of a machine that is there already. */
export const existing = {
  machine: "existing",
  address: "198.51.100.7",
  sshHostKey: hostKey,
  sshPrivateKey: `-----BEGIN OPENSSH PRIVATE KEY-----\n${canary}\n-----END OPENSSH PRIVATE KEY-----\n`,
};

/** What a mail server with these settings consists of. */
export async function serverWith(
  texts: Record<string, string> = {},
  options: { preview?: boolean } = {},
) {
  const given = {
    mailDomain: "anna.example",
    adminEmail: "anna@elsewhere.example",
    useTor: "false",
    ...texts,
  };
  const full = Object.entries(given).map(([name, text]) => [`mailfruit:${name}`, text]);
  const isSecretKey = (name: string) => /:(sshPrivateKey|onionSeed)$/.test(name);
  const settings = parseSettings(Object.fromEntries(full), { defaults, isSecret: isSecretKey });
  const { result, resources } = await requestedBy(() => new MailServer("mail", settings), options);
  return new Resources(resources, result);
}

const role = z.looseObject({ files: z.record(z.string(), z.looseObject({ text: z.string() })) });

/** What the program asked for. */
export class Resources {
  readonly all: Requested[];
  readonly server: MailServer;

  constructor(all: Requested[], server: MailServer) {
    this.all = all;
    this.server = server;
  }

  ofType(type: string): Requested[] {
    return this.all.filter((resource) => resource.type === type);
  }

  /** How many there are of each kind, components left out. */
  kinds(): Record<string, number> {
    const names = this.all
      .filter(({ custom }) => custom)
      .map(({ type }) => type.replace(/^.*:/, ""))
      .sort();
    return Object.fromEntries(
      names.map((name) => [name, names.filter((each) => each === name).length]),
    );
  }

  named(name: string): Requested {
    return this.all.find((each) => each.custom && each.name === name) ?? assert.fail(`no ${name}`);
  }

  /** What a remote command reads. */
  stdinOf(command: string): string {
    return String(plain(this.named(`mail-host-${command}`).inputs.stdin));
  }

  /** A file as its role has it. */
  fileOf(name: string, path: string): string {
    return role.parse(parse(this.stdinOf(name))).files[path]?.text ?? assert.fail(path);
  }

  /** The remote commands, by their own name. */
  commands(): Map<string, Requested> {
    return new Map(this.ofType(command).map((each) => [each.name.replace("mail-host-", ""), each]));
  }

  /** Whether `later` waits for `earlier`, directly or through others. */
  waits(later: string, earlier: string): boolean {
    const { dependencies } = this.named(later);
    const names = this.all.filter(({ urn, custom }) => custom && dependencies.includes(urn));
    return names.some(({ name }) => name === earlier || this.waits(name, earlier));
  }
}
