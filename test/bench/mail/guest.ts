import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { guestCommand } from "../../../sandbox/cloud/shell.ts";
import { mustRun } from "../../../sandbox/process.ts";
import { configOf, foldersOf, nameOf, type Variant } from "./variants.ts";

const timed = z.object({ count: z.number(), seconds: z.number(), cpu: z.number() });
const fetched = z.object({ seconds: z.number(), bytes: z.number() });
const looked = z.object({ readable: z.number(), other: z.number() });

export type Timed = z.infer<typeof timed>;

/** Of systemd's unit only the configuration changes. The product's check before a start would refuse plain text. */
const dropIn = `[Unit]
StartLimitIntervalSec=0
[Service]
ExecStartPre=
ExecStart=
ExecStart=/usr/sbin/dovecot -F -c /var/lib/bench/dovecot.conf
`;

/** The product's server in its guest, with the means to put variants of its Dovecot in its place. */
export class BenchGuest {
  readonly domain: string;
  readonly users: string[];
  readonly #id: number;
  readonly #password = "a password for the bench, which guards nothing";
  readonly #check: () => void;
  #product = "";

  constructor(id: number, domain: string, check: () => void) {
    this.#id = id;
    this.domain = domain;
    this.users = Array.from({ length: 10 }, (_, number) => `user-${number}@${domain}`);
    this.#check = check;
  }

  /** Makes users and the load generator, and takes away what would stop an unencrypted Dovecot. */
  async prepare(): Promise<void> {
    await this.run("systemctl stop mailfruit-check.timer mailfruit-check.service");
    for (const user of this.users) {
      await this.run(
        `mailfruit user add ${user} --quota 0 --password-stdin`,
        `${this.#password}\n`,
      );
    }
    const load = await readFile(join(import.meta.dirname, "load.py"), "utf8");
    await this.run("mkdir -p /var/lib/bench && cat >/var/lib/bench/load.py", load);
    const folder = "/run/systemd/system/dovecot.service.d";
    await this.run(`mkdir -p ${folder} && cat >${folder}/zz-bench.conf`, dropIn);
    for (const place of ["/srv/mail/bench", "/run/mail/bench"]) {
      await this.run(`install -d -o vmail -g vmail -m 0700 ${place}`);
    }
    this.#product = await this.run("cat /etc/dovecot/dovecot.conf");
  }

  /** A password of the kind that a device gets: random, and cheap to check. */
  async appPassword(): Promise<string> {
    const command = `mailfruit app add ${this.users[0]} bench --password-stdin --json`;
    const answer = await this.run(command, `${this.#password}\n`);
    return z.object({ password: z.string() }).parse(JSON.parse(answer)).password;
  }

  /** Lets a variant's Dovecot serve; `fresh`: with the users' keys and without a mail. */
  async use(variant: Variant, { fresh = false } = {}): Promise<void> {
    const { home, cache } = foldersOf(variant);
    await this.run("cat >/var/lib/bench/dovecot.conf", configOf(this.#product, variant));
    if (fresh && (await this.run(`test -d ${home}.fresh || echo no`)) !== "") {
      await this.run("systemctl daemon-reload && systemctl restart dovecot");
      await this.#load("key", {});
      await this.run(`systemctl stop dovecot && cp -a ${home} ${home}.fresh`);
    }
    const renew = `rm -rf ${home} ${cache} && cp -a ${home}.fresh ${home}`;
    await this.run(
      `systemctl stop dovecot${fresh ? ` && ${renew}` : ""} && systemctl start dovecot`,
    );
  }

  /** What is called encrypted is, and the plain one isn't: anything else would mislead. */
  async verify(variant: Variant): Promise<void> {
    const { readable } = looked.parse(
      await this.#load("readable", { folder: foldersOf(variant).home }),
    );
    if (readable > 0 === variant.encrypted) {
      throw new Error(
        `${nameOf(variant)} is not what is measured: ${readable} files are readable.`,
      );
    }
  }

  async timed(what: string, parameters: Record<string, unknown>): Promise<Timed> {
    return timed.parse(await this.#load(what, parameters));
  }

  /** An IMAP command in a session of its own; the login isn't counted. */
  async fetch(user: number, command: string): Promise<z.infer<typeof fetched>> {
    return fetched.parse(await this.#load("fetch", { users: [this.users[user]], command }));
  }

  /** Mailboxes in the database, by rows that nobody logs in to. */
  async setAccounts(count: number): Promise<void> {
    await this.#load("accounts", { domain: this.domain, count });
  }

  async #load(what: string, parameters: Record<string, unknown>): Promise<unknown> {
    const request = {
      what,
      host: `mail.${this.domain}`,
      users: this.users,
      password: this.#password,
    };
    const input = JSON.stringify({ ...request, ...parameters });
    return JSON.parse(await this.run("python3 -I /var/lib/bench/load.py", input));
  }

  async run(script: string, input?: string): Promise<string> {
    this.#check();
    const [file = "", ...args] = await guestCommand(this.#id, ["sh", "-c", script]);
    return mustRun(file, args, input === undefined ? {} : { input });
  }
}
