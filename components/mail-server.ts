import { createHash } from "node:crypto";
import * as pulumi from "@pulumi/pulumi";
import { isHidden } from "../settings/tor.ts";
import type { Settings } from "../settings.ts";
import { MailDomain } from "./dns.ts";
import { Host, type Packages } from "./host.ts";
import {
  certificateOfOwnCa,
  generatedPassword,
  selfSignedCertificate,
  type TlsMaterial,
  volumeKey,
} from "./keys.ts";
import { type Machine, type MailVolume, machineOf } from "./machine.ts";
import { type OnionNames, servedNames } from "./onion.ts";
import { clientSettings } from "./outputs.ts";
import { type MakeRole, type Role, type RoleFolder, roleMaker } from "./role.ts";
import * as check from "./roles/check.ts";
import * as clock from "./roles/clock.ts";
import * as dovecot from "./roles/dovecot.ts";
import * as gateway from "./roles/gateway.ts";
import * as onionDovecot from "./roles/onion-dovecot.ts";
import * as onionMail from "./roles/onion-mail.ts";
import * as onionSsh from "./roles/onion-ssh.ts";
import * as onionTls from "./roles/onion-tls.ts";
import * as postfix from "./roles/postfix.ts";
import * as smarthost from "./roles/smarthost.ts";
import * as storage from "./roles/storage.ts";
import * as system from "./roles/system.ts";
import * as tls from "./roles/tls.ts";
import * as users from "./roles/users.ts";
import * as volume from "./roles/volume.ts";
import { onionCertificates, onionOf, packagesBeforeTor, torRoles } from "./tor.ts";

/** What a person needs who logs in to read mail: user name is the address. */
export interface TestUser {
  address: string;
  password: string;
}

/** A mail server, or the gateway of a hidden one: its machine, its DNS, its certificate, and the roles on it. */
export class MailServer extends pulumi.ComponentResource {
  readonly machine: Machine;
  readonly zoneFile: pulumi.Output<string>;
  /** PEM: what clients trust the server by. */
  readonly ca: pulumi.Output<string>;
  /** What opens the encrypted volume; null where there is none. */
  readonly volumeKey: pulumi.Output<string> | null;
  /** Null where `debug` is off, and on a gateway. */
  readonly testUser: pulumi.Output<TestUser> | null;
  /** What a hidden server shows other servers, by which a gateway knows it; null where it is not hidden. */
  readonly smtpTls: TlsMaterial | null;
  /** The names of the onion services that it has. */
  readonly onion: Partial<OnionNames>;
  /** PEM: what clients trust the server by where they come by onion. */
  readonly onionCa: pulumi.Output<string> | null;

  constructor(name: string, settings: Settings, opts?: pulumi.ComponentResourceOptions) {
    super("mailfruit:index:MailServer", name, {}, opts);
    const identity = onionOf(name, settings.tor, this);
    this.onion = servedNames(settings.tor, identity);
    this.machine = machineOf(name, settings, identity, this);
    // Nobody is told where a hidden server is.
    const { ipv4, ipv6 } = isHidden(settings) ? { ipv4: null, ipv6: null } : this.machine;
    const isPublic = settings.kind === "mail" && !isHidden(settings);
    const onion = isPublic ? (this.onion.smtp ?? null) : null;
    const domain = new MailDomain(`${name}-dns`, { settings, ipv4, ipv6, onion }, { parent: this });
    this.zoneFile = domain.zoneFile;

    const makeCertificate = settings.debug ? certificateOfOwnCa : selfSignedCertificate;
    const material = makeCertificate(`${name}-tls`, settings.serverHostname, this);
    this.ca = material.ca;
    const certificates = { material, byOnion: identity && onionCertificates(name, identity, this) };
    this.onionCa = certificates.byOnion?.users.ca ?? null;
    this.smtpTls = (isHidden(settings) && certificates.byOnion?.smtp) || null;

    this.volumeKey = settings.encryptVolume ? volumeKey(`${name}-volume-key`, this) : null;
    const host = this.#host(name, settings);
    const role = roleMaker(name, host, this);
    const { tor } = settings;
    const before = tor ? torRoles(role, tor, identity, this.machine.ssh.port) : [];
    host.install(packagesOf(modulesFor(settings)), before);
    const roles = [...before, ...this.#roles(role, settings, host, certificates)];
    this.testUser = this.#testUser(name, settings, host, roles);
    prove(settings, host, roles);
    this.registerOutputs({});
  }

  #host(name: string, settings: Settings): Host {
    const { ssh, identity, resource, ready } = this.machine;
    const beforeTor = packagesBeforeTor(settings.tor);
    return new Host(
      `${name}-host`,
      { ...ssh, identity, machine: resource, after: ready, beforeTor },
      { parent: this },
    );
  }

  /**
   * The order of roles: names and the volume, opened and mounted, come first, since what follows lies on it; then the
   * certificate, which the daemons read when they start, and the ways by Tor; then the daemons; at last what checks them.
   * Tor is there before all of them.
   */
  #roles(role: MakeRole, settings: Settings, host: Host, certificates: Certificates): Role[] {
    const base = this.#base(role, settings, host);
    const { material, byOnion } = certificates;
    const ground = [role(tls, tls.variables(material), base, { secret: true })];
    if (byOnion) ground.push(role(onionTls, onionTls.variables(byOnion), base, { secret: true }));
    if (settings.tor?.managed)
      ground.push(
        role(onionSsh, onionSsh.variables(settings.tor), base),
        role(onionMail, onionMail.variables(settings, this.onion), base),
      );
    const { smarthost: passesOn } = settings;
    if (passesOn?.login) {
      const login = smarthost.variables(settings, passesOn, passesOn.login);
      ground.push(role(smarthost, login, base, { secret: true }));
    }
    if (isHidden(settings)) ground.push(role(clock, {}, base));
    const daemons =
      settings.kind === "gateway"
        ? [role(gateway, gateway.variables(settings), ground)]
        : this.#mailboxes(role, settings, base, ground);
    return [...base, ...ground, ...daemons, role(check, check.variables(settings), daemons)];
  }

  /** Names, and the volume. */
  #base(role: MakeRole, settings: Settings, host: Host): Role[] {
    const base = [role(system, system.variables(settings), [])];
    const { volume: device } = this.machine;
    if (device) {
      const encrypted = this.volumeKey !== null;
      const program = role(volume, volume.variables(device, encrypted), []);
      const opened = this.#open(host, device, program);
      base.push(program, role(storage, storage.variables(device, encrypted), [opened]));
    }
    return base;
  }

  /** The accounts, then Postfix, and then Dovecot, whose sockets lie in a folder that Postfix makes at its first start. */
  #mailboxes(role: MakeRole, settings: Settings, base: Role[], ground: Role[]): Role[] {
    const { tor } = settings;
    const accounts = [role(users, this.#usersVariables(settings), base)];
    if (tor?.managed)
      accounts.push(role(onionDovecot, onionDovecot.variables(tor), [...ground, ...accounts]));
    const mta = role(postfix, postfix.variables(settings, this.onion), [...ground, ...accounts]);
    return [...accounts, mta, role(dovecot, dovecot.variables(settings), [mta])];
  }

  #usersVariables(settings: Settings) {
    const { ca, onionCa } = this;
    const programs = clientSettings(settings, this.onion.users);
    const clients = users.clientVariables({ settings: programs, ca, onionCa });
    return { ...users.variables(settings), ...clients };
  }

  /** The volume is there, formatted and opened; again when it has grown or the machine is another one. */
  #open(host: Host, device: MailVolume, program: Role): pulumi.Resource {
    return host.command("open", {
      run: `/usr/local/sbin/mail-volume prepare ${device.size ?? "whole"}`,
      stdin: this.volumeKey ?? "",
      secret: this.volumeKey !== null,
      dependsOn: [program],
    });
  }

  #testUser(name: string, settings: Settings, host: Host, roles: Role[]) {
    const address = users.testAddress(settings);
    if (address === null || settings.kind === "gateway") return null;
    const password = generatedPassword(`${name}-test-password`, this);
    host.command("test-user", {
      run: `/usr/local/sbin/mailfruit user add ${address} --origin debug --or-update --password-stdin`,
      stdin: password,
      secret: true,
      dependsOn: roles,
    });
    return pulumi.secret(password.apply((text) => ({ address, password: text })));
  }
}

/** Certificates for the server's own name, and for the onion names if it has any. */
interface Certificates {
  material: TlsMaterial;
  byOnion: ReturnType<typeof onionCertificates> | null;
}

/** Those whose packages are fetched at once. */
const modulesFor = (settings: Settings) => [
  ...[system, volume, storage, tls, check],
  ...(settings.kind === "gateway" ? [gateway] : [users, postfix, dovecot]),
  ...(settings.tor?.managed ? [onionMail] : []),
  ...(isHidden(settings) ? [clock] : []),
];

/** The packages and units of roles. */
function packagesOf(modules: { folder: RoleFolder }[]): Packages {
  const manifests = modules.map(({ folder }) => folder.manifest);
  return {
    packages: distinct(manifests.flatMap(({ packages }) => packages)),
    units: distinct(manifests.flatMap(({ units }) => Object.keys(units))),
  };
}

const distinct = (names: string[]) => [...new Set(names)].sort();

/** The last step: a mail goes in and comes out, again after every change of any role. */
function prove(settings: Settings, host: Host, roles: Role[]): void {
  const texts = pulumi.all(roles.map((role) => role.text));
  const digest = texts.apply((all) => createHash("sha256").update(all.join()).digest("hex"));
  const { program } = check.variables(settings);
  host.command("prove", {
    run: settings.kind === "gateway" ? program : `${program} --inbound-tls ${settings.inboundTls}`,
    // Nothing reads it: it makes the command run again after any change.
    stdin: pulumi.unsecret(digest),
    dependsOn: roles,
  });
}
