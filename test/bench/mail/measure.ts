import type { BenchGuest, Timed } from "./guest.ts";
import type { Sample, Unit } from "./report.ts";
import { foldersOf, nameOf, type Variant, variants } from "./variants.ts";

export interface Extent {
  rounds: number;
  variants: Variant[];
  /** Mails in the folder that is listed. */
  folder: number;
  /** No further round begins after so many seconds. */
  seconds: number;
}

const product = { driver: "sdbox", encrypted: true } as const;
const sdbox = variants.filter(({ driver }) => driver === "sdbox");
export const full: Extent = { rounds: 3, variants, folder: 10_000, seconds: 420 };
export const quick: Extent = { rounds: 1, variants: sdbox, folder: 2_000, seconds: 90 };

const kib = 1024;
const envelopes = "FETCH 1:* (UID FLAGS INTERNALDATE RFC822.SIZE ENVELOPE)";
const headers =
  "FETCH 1:* (UID FLAGS RFC822.SIZE BODY.PEEK[HEADER.FIELDS (DATE FROM TO CC SUBJECT MESSAGE-ID IN-REPLY-TO REFERENCES CONTENT-TYPE)])";
const whole = "FETCH 1:* BODY.PEEK[]";
/** How many mails of each size are read, and by which user. */
const reading = [
  { size: 4, count: 400, user: 1 },
  { size: 100, count: 80, user: 2 },
  { size: 1024, count: 16, user: 3 },
];

/** Everything, in turns: what slows the machine down for a while meets all that is compared. */
export async function measureMail(
  guest: BenchGuest,
  extent: Extent,
  say: (line: string) => void,
): Promise<Sample[]> {
  const measuring = new Measuring(guest, extent, say);
  await measuring.delivery();
  await measuring.folders();
  await measuring.logins();
  await measuring.accounts();
  await measuring.tls();
  return measuring.samples;
}

class Measuring {
  readonly samples: Sample[] = [];
  readonly #guest: BenchGuest;
  readonly #extent: Extent;
  readonly #say: (line: string) => void;
  readonly #began = performance.now();

  constructor(guest: BenchGuest, extent: Extent, say: (line: string) => void) {
    this.#guest = guest;
    this.#extent = extent;
    this.#say = say;
  }

  /** From a socket of Dovecot's, and all the way from a connection on port 25. */
  async delivery(): Promise<void> {
    await this.#rounds("delivery", async (round) => {
      for (const variant of this.#extent.variants) {
        const name = nameOf(variant);
        await this.#guest.use(variant, { fresh: true });
        await this.#guest.timed("lmtp", { size: 4 * kib, connections: 10, count: 50 });
        for (const { size, connections, count } of cellsOf(variant)) {
          const measure = `LMTP ${size}K, ${connections} connection${connections > 1 ? "s" : ""}`;
          const done = await this.#guest.timed("lmtp", { size: size * kib, connections, count });
          this.#rate(measure, name, round, "mails/s", done);
        }
        const done = await this.#smtp();
        this.#rate("SMTP with TLS 4K, 10 connections", name, round, "mails/s", done);
        await this.#guest.verify(variant);
      }
    });
  }

  /** Listing a large folder and reading mails of several sizes. */
  async folders(): Promise<void> {
    for (const variant of this.#extent.variants) await this.#fill(variant);
    await this.#rounds("folders", async (round) => {
      for (const variant of this.#extent.variants) {
        await this.#guest.use(variant);
        if (variant.driver === "sdbox") await this.#list(variant, round);
        for (const { size, user } of reading) {
          const { seconds, bytes } = await this.#guest.fetch(user, whole);
          const sample = { round, unit: "MB/s", value: bytes / 1e6 / seconds } as const;
          this.#add({ measure: `reading ${size}K`, variant: nameOf(variant), ...sample });
        }
      }
    });
    await this.#listCold();
  }

  async #fill(variant: Variant): Promise<void> {
    this.#say(`filling folders of ${nameOf(variant)}`);
    const { users } = this.#guest;
    await this.#guest.use(variant, { fresh: true });
    const folders = [
      ...(variant.driver === "sdbox" ? [{ size: 1.5, count: this.#extent.folder, user: 0 }] : []),
      ...reading,
    ];
    for (const { size, count, user } of folders) {
      await this.#guest.timed("lmtp", {
        users: [users[user]],
        size: size * kib,
        connections: 8,
        count,
      });
    }
  }

  async #list(variant: Variant, round: number): Promise<void> {
    const byEnvelope = await this.#guest.fetch(0, envelopes);
    const byHeaders = await this.#guest.fetch(0, headers);
    const add = (measure: string, value: number) =>
      this.#add({ measure, variant: nameOf(variant), round, unit: "s", value });
    add(`listing ${this.#extent.folder}`, byEnvelope.seconds);
    add(`listing ${this.#extent.folder} by headers`, byHeaders.seconds);
  }

  /** As after a boot: what was kept in memory is gone. It takes long, so it's done once. */
  async #listCold(): Promise<void> {
    for (const variant of sdbox) {
      await this.#guest.run(`systemctl stop dovecot && rm -rf ${foldersOf(variant).cache}`);
      await this.#guest.use(variant);
      const { seconds: value } = await this.#guest.fetch(0, envelopes);
      const measure = `first list of ${this.#extent.folder} after a boot`;
      this.#add({ measure, variant: nameOf(variant), round: 1, unit: "s", value });
    }
  }

  async logins(): Promise<void> {
    await this.#guest.use(product, { fresh: true });
    const app = { password: await this.#guest.appPassword(), users: this.#guest.users.slice(0, 1) };
    await this.#rounds("logins", async (round) => {
      for (const connections of [1, 4]) {
        const measure = `IMAP logins, ${connections} at once`;
        const typed = await this.#guest.timed("login", { connections, count: 24 });
        this.#rate(measure, "password (Argon2id)", round, "logins/s", typed);
        const device = await this.#guest.timed("login", { connections, count: 40, ...app });
        this.#rate(measure, "app password (BLAKE2b)", round, "logins/s", device);
      }
    });
  }

  /** Whether SQLite is what is slow: with as good as no, some and very many mailboxes. */
  async accounts(): Promise<void> {
    await this.#rounds("accounts", async (round) => {
      for (const count of [this.#guest.users.length, 1_000, 100_000]) {
        await this.#guest.setAccounts(count);
        const variant = `${count} mailboxes`;
        const table = "sqlite:/etc/postfix/sqlite/mailboxes.cf";
        const asked = await this.#guest.timed("lookups", { table, count: 5_000 });
        this.#rate("look-ups by Postfix", variant, round, "look-ups/s", asked);
        this.#rate("SMTP by number of mailboxes", variant, round, "mails/s", await this.#smtp());
      }
    });
    await this.#guest.setAccounts(0);
  }

  /** What TLS costs: the product refuses mail without it, so it's told not to for as long as this takes. */
  async tls(): Promise<void> {
    const level = (value: string) =>
      `postconf -e smtpd_tls_security_level=${value} && postfix reload && sleep 1`;
    await this.#guest.run(level("may"));
    await this.#rounds("TLS", async (round) => {
      for (const tls of [true, false]) {
        const variant = tls ? "with TLS" : "without TLS";
        this.#rate(
          "SMTP with and without TLS",
          variant,
          round,
          "mails/s",
          await this.#smtp({ tls }),
        );
      }
    });
    await this.#guest.run(level("encrypt"));
  }

  #smtp(more: Record<string, unknown> = {}): Promise<Timed> {
    return this.#guest.timed("smtp", { size: 4 * kib, connections: 10, count: 200, ...more });
  }

  async #rounds(what: string, work: (round: number) => Promise<void>): Promise<void> {
    for (let round = 1; round <= this.#extent.rounds; round++) {
      const seconds = (performance.now() - this.#began) / 1000;
      if (round > 1 && seconds > this.#extent.seconds) return;
      this.#say(`${what}, round ${round} (${Math.round(seconds)} s so far)`);
      await work(round);
    }
  }

  #rate(measure: string, variant: string, round: number, unit: Unit, done: Timed): void {
    const { count, seconds, cpu } = done;
    const sample = { value: count / seconds, cpuMs: (cpu * 1000) / count };
    this.#add({ measure, variant, round, unit, ...sample });
  }

  #add(sample: Sample): void {
    this.samples.push(sample);
  }
}

const lmtpCells = [
  { size: 4, connections: 1, count: 150 },
  { size: 4, connections: 10, count: 500 },
  { size: 4, connections: 50, count: 500 },
  { size: 100, connections: 1, count: 80 },
  { size: 100, connections: 10, count: 200 },
  { size: 100, connections: 50, count: 200 },
];

/** The other formats are compared at one number of connections: it's the product's that has to be known well. */
const cellsOf = ({ driver }: Variant) =>
  lmtpCells.filter(({ connections }) => driver === "sdbox" || connections === 10);
