import { remote } from "@pulumi/command";
import * as pulumi from "@pulumi/pulumi";
import { isOnionAddress } from "../settings/onion-address.ts";
import { forwardTo } from "./forwarder.ts";
import { readTemplate, render } from "./template.ts";

/** How to log in to a machine. All of it is pinned: nothing is sent to a machine that shows another host key. */
export interface SshAccess {
  address: pulumi.Input<string>;
  port: number;
  user: string;
  privateKey: pulumi.Output<string>;
  /** As in known_hosts without the host: "ssh-ed25519 AAAA…". */
  hostKey: pulumi.Input<string>;
}

export interface HostArgs extends SshAccess {
  /** Changes when the machine is another one; everything is then done again. */
  identity: pulumi.Input<string>;
  /** The machine, where it is ours: what goes with it needs no clean-up on it. */
  machine: pulumi.Resource | null;
  /** What must be there before the first connection, such as a firewall. */
  after: pulumi.Resource[];
  /** What has to be installed before Tor can be used for the rest; null where Tor isn't used. */
  beforeTor: FirstPackages | null;
}

/** Debian packages, and what of them is held until it is configured. */
export interface Packages {
  packages: string[];
  /** systemd units that the roles start once they are configured. */
  units: string[];
}

export interface FirstPackages extends Packages {
  /** The URL of a Tor elsewhere by which they come; empty for none. */
  proxy: string;
}

export interface HostCommandArgs {
  /** A short shell command; it shows in errors and in the state, so nothing secret stands in it. */
  run: string;
  /** Its standard input. A secret stays one, and silences the command's output. */
  stdin: pulumi.Input<string>;
  secret?: boolean;
  /** What it waits for, beside the machine's preparation. */
  dependsOn?: pulumi.Resource[];
  /** Whose part it is; the host's own if not given. */
  parent?: pulumi.Resource;
}

/** A Debian 13 machine that is ready for roles. The only place that speaks SSH. */
export class Host extends pulumi.ComponentResource {
  readonly #apply: pulumi.Resource;
  /** What a role waits for; see {@link prepared}. */
  #prepared: pulumi.Resource[];
  readonly #name: string;
  readonly #args: HostArgs;
  readonly #connection: pulumi.Output<pulumi.Unwrap<remote.CommandArgs["connection"]>>;

  constructor(name: string, args: HostArgs, opts: pulumi.ComponentResourceOptions) {
    super("mailfruit:machine:Host", name, {}, opts);
    this.#name = name;
    this.#args = args;
    const way = pulumi.output(args.address).apply((address) => wayTo(address, args.port));
    this.#connection = pulumi.secret({
      host: way.host,
      port: way.port,
      user: args.user,
      privateKey: args.privateKey,
      hostKey: args.hostKey,
      // The first connection meets a droplet that boots: four minutes of tries. A machine that was there before is up.
      dialErrorLimit: args.machine ? 60 : 5,
      perDialTimeout: 15,
    });

    const ready = this.command("ready", {
      run: "/bin/sh -s",
      stdin: readTemplate("apply/ready.sh").text,
      dependsOn: args.after,
    });
    this.#apply = this.command("apply", {
      run: `/bin/sh -c 'umask 022 && mkdir -p ${libraryDir} && cat >${applyProgram}.new && chmod 755 ${applyProgram}.new && sync ${applyProgram}.new && mv ${applyProgram}.new ${applyProgram} && sync ${libraryDir}'`,
      stdin: readTemplate("apply/apply").text,
      dependsOn: [ready],
    });
    const { beforeTor } = args;
    const first =
      beforeTor && this.#packages("packages-before-tor", beforeTor, beforeTor.proxy, [ready]);
    this.#prepared = first ? [first, this.#apply] : [ready];
    this.registerOutputs({});
  }

  /**
   * What roles wait for that are made now: at first, what Tor needs; after {@link install}, the packages of all roles.
   */
  get prepared(): pulumi.Resource[] {
    return this.#prepared;
  }

  /** Installs the packages of all roles, once these are there. */
  install(packages: Packages, after: pulumi.Resource[]): void {
    const dependsOn = [...this.#prepared, ...after];
    this.#prepared = [this.#packages("packages", packages, "", dependsOn), this.#apply];
  }

  #packages(name: string, { packages, units }: Packages, proxy: string, after: pulumi.Resource[]) {
    return this.command(name, {
      run: "/bin/sh -s",
      stdin: render(readTemplate("apply/packages.sh"), {
        packages: packages.join(" "),
        units: units.join(" "),
        proxy,
      }),
      dependsOn: after,
    });
  }

  /** Runs as root, at first and whenever `run` or `stdin` change, or the machine is another one. */
  command(name: string, args: HostCommandArgs): remote.Command {
    const sudo = this.#args.user === "root" ? "" : "sudo -n -- ";
    return new remote.Command(
      `${this.#name}-${name}`,
      {
        connection: this.#connection,
        create: sudo + args.run,
        stdin: args.secret ? pulumi.secret(args.stdin) : args.stdin,
        triggers: [this.#args.identity],
        addPreviousOutputInEnv: false,
        logging: args.secret ? remote.Logging.None : remote.Logging.StdoutAndStderr,
      },
      {
        parent: args.parent ?? this,
        dependsOn: args.dependsOn ?? this.#prepared,
        ...(this.#args.machine && { deletedWith: this.#args.machine }),
      },
    );
  }
}

/** An onion name is reached by a port on this machine. */
const wayTo = (address: string, port: number) =>
  isOnionAddress(address) ? forwardTo(address, port) : { host: address, port };

const libraryDir = "/usr/local/lib/mailfruit";

/** The program on the server that applies a role; it reads the role on its standard input. */
export const applyProgram = `${libraryDir}/apply`;
