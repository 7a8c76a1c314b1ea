import { remote } from "@pulumi/command";
import * as pulumi from "@pulumi/pulumi";
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
  /** Debian packages of all roles. */
  packages: string[];
  /** systemd units that the roles start once they are configured. */
  units: string[];
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
  /** Resolves when the packages and the apply program are there. */
  readonly prepared: pulumi.Resource[];
  readonly #name: string;
  readonly #args: HostArgs;
  readonly #connection: pulumi.Output<pulumi.Unwrap<remote.CommandArgs["connection"]>>;

  constructor(name: string, args: HostArgs, opts: pulumi.ComponentResourceOptions) {
    super("mailfruit:machine:Host", name, {}, opts);
    this.#name = name;
    this.#args = args;
    this.#connection = pulumi.secret({
      host: args.address,
      port: args.port,
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
    const packages = this.command("packages", {
      run: "/bin/sh -s",
      stdin: render(readTemplate("apply/packages.sh"), {
        packages: args.packages.join(" "),
        units: args.units.join(" "),
      }),
      dependsOn: [ready],
    });
    const apply = this.command("apply", {
      run: `/bin/sh -c 'umask 022 && mkdir -p ${libraryDir} && cat >${applyProgram}.new && chmod 755 ${applyProgram}.new && sync ${applyProgram}.new && mv ${applyProgram}.new ${applyProgram} && sync ${libraryDir}'`,
      stdin: readTemplate("apply/apply").text,
      dependsOn: [ready],
    });
    this.prepared = [packages, apply];
    this.registerOutputs({});
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
        dependsOn: args.dependsOn ?? this.prepared,
        ...(this.#args.machine && { deletedWith: this.#args.machine }),
      },
    );
  }
}

const libraryDir = "/usr/local/lib/mailfruit";

/** The program on the server that applies a role; it reads the role on its standard input. */
export const applyProgram = `${libraryDir}/apply`;
