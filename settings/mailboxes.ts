import { z } from "zod";
import { type Problem, shellWord } from "./problem.ts";

/** A mailbox of the stack: one that has to be there, or one that has to go. */
export type Mailbox = KeptMailbox | DeletedMailbox;

export interface KeptMailbox {
  kind: "kept";
  address: string;
  /** 0 for no limit; null leaves it as it is. */
  quotaMib: number | null;
  /** Addresses whose mail it gets as well. */
  aliases: string[];
}

export interface DeletedMailbox {
  kind: "deleted";
  address: string;
  /** Where its mail is kept, in the administrator's words. */
  backup: string;
}

/** What can be said of a mailbox, and how a mending command says it. */
export const mailboxKeys = {
  quota: {
    meaning:
      "Its room, a whole number of MiB, 0 for no limit. Left out, a new mailbox gets 1024, and one that is there keeps what it has.",
    example: "2048",
  },
  aliases: {
    meaning:
      "A list of addresses whose mail it gets as well, as info@DOMAIN, anna+shop@DOMAIN, or @DOMAIN for all that nobody else has.",
    example: "info@example.org",
  },
  delete: {
    meaning: "`true` removes the mailbox and all its mail. It needs `backup`, and nothing else.",
    example: "true",
  },
  backup: {
    meaning: "With `delete`: where the mail is kept, or why it need not be; one line.",
    example: "'copied to the archive on 2026-11-25'",
  },
};
type MailboxKey = keyof typeof mailboxKeys;
const isMailboxKey = (key: PropertyKey | undefined): key is MailboxKey =>
  key !== undefined && Object.hasOwn(mailboxKeys, key);

/** As it stands in a stack's file. */
export const mailboxesExample = `config:
  mailfruit:mailboxes:
    anna@example.org: { quota: 2048, aliases: [info@example.org, anna+shop@example.org] }
    bert@example.org: {}
    carl@example.org: { delete: true, backup: copied to the archive on 2026-11-25 }
`;

/** The setting's text: JSON, as the engine hands structured values on. {@link readMailboxes} reads what is in it. */
export const mailboxesText = z.string().transform((text, context) => {
  const value = jsonOf(text);
  if (isMapping(value)) return value;
  context.addIssue({ code: "custom", message: "must be a mapping of mail addresses" });
  return z.NEVER;
});

/** What the mailboxes have to fit. */
export interface Surroundings {
  /** Undefined where that setting is wrong itself. */
  mailDomain: string | undefined;
  /** The mailbox for trying things out, if there is one. */
  testAddress: string | null;
}

/** Reads the mailboxes, or says what is wrong with them; values are not shown, as one could be a password. */
export function readMailboxes(setting: Record<string, unknown>, around: Surroundings) {
  const problems: Problem[] = [];
  const report: Report = (path, message, mend) =>
    problems.push({ key: `mailfruit:${written(path)}`, message, mend: mend ?? mendOf(path) });
  const mailboxes = Object.entries(setting).flatMap(([name, value]) =>
    readMailbox(name, value ?? {}, around.mailDomain, report),
  );
  reportDoubled(mailboxes, around.testAddress, report);
  reportAliases(mailboxes, around.testAddress, report);
  return { mailboxes: mailboxes.map(({ mailbox }) => mailbox), problems };
}

type Path = [address: string, ...PropertyKey[]];
type Report = (path: Path, message: string, mend?: string) => void;
/** A mailbox with the address as the stack's file has it. */
interface Read {
  name: string;
  mailbox: Mailbox;
}

function readMailbox(
  name: string,
  value: unknown,
  domain: string | undefined,
  report: Report,
): Read[] {
  const address = addressIn(domain, mailboxName).safeParse(name);
  for (const { message } of address.error?.issues ?? []) report([name], message);
  if (!address.success) return []; // what is said of it goes with it
  const said = sayings(domain).safeParse(value);
  for (const issue of said.error?.issues ?? []) reportIssue(name, issue, report);
  if (isMapping(value)) reportContradictions(name, Object.keys(value), report);
  if (!said.success) return [];
  const { quota, aliases, backup } = said.data;
  const mailbox: Mailbox = said.data.delete
    ? { kind: "deleted", address: address.data, backup: backup ?? "" }
    : { kind: "kept", address: address.data, quotaMib: quota ?? null, aliases: aliases ?? [] };
  return [{ name, mailbox }];
}

/** What may be said of a mailbox in a domain, each by itself. */
function sayings(domain: string | undefined) {
  const quota = "must be a whole number of MiB, without quotes, 0 for no limit";
  const line = "must be one line that says where the mail is kept, 200 characters at most";
  const whole = `must be a mapping with ${new Intl.ListFormat("en-GB", { type: "disjunction" }).format(Object.keys(mailboxKeys))}, or {}`;
  return z.strictObject(
    {
      quota: z.int(quota).min(0, quota).max(999_999_999, "is more than any disk has").optional(),
      aliases: z.array(addressIn(domain, aliasName), "must be a list of addresses").optional(),
      delete: z.literal(true, "must be true, or be left out").optional(),
      backup: z
        .string(line)
        .regex(/^(?=.*\S)[^\p{Cc}]{1,200}$/u, line)
        .optional(),
    },
    whole,
  );
}

const label = "[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?";
/** As the server's program takes them (files/users, names.py). */
const mailboxName = {
  pattern: new RegExp(`^${label}$`),
  wanted: "must have letters, digits and . _ - before the @, 64 at most, as anna@example.org",
};
const aliasName = {
  pattern: new RegExp(`^(?:${label}(?:\\+[a-z0-9._-]{1,32})?)?$`),
  wanted: "must be an address as info@example.org, anna+shop@example.org or @example.org",
};

/** An address in a domain, in lower case. */
function addressIn(domain: string | undefined, { pattern, wanted }: typeof mailboxName) {
  return z.string(wanted).transform((text, context) => {
    const address = text.toLowerCase();
    const at = address.lastIndexOf("@");
    const name = address.slice(0, Math.max(at, 0));
    const refuse = (message: string) => context.addIssue({ code: "custom", message });
    if (/[^\0-\x7f]/.test(text))
      refuse(
        "has letters beyond ASCII (RFC 6531), which many servers can't send mail to; spell it with a to z",
      );
    else if (at < 0 || !pattern.test(name) || /\.\.|\.$/.test(name) || name.length > 64)
      refuse(wanted);
    else if (domain !== undefined && address.slice(at + 1) !== domain)
      refuse(`is outside of the mail domain ${domain}`);
    return address;
  });
}

/** Unknown keys are reported one by one, everything else as it is. */
function reportIssue(name: string, issue: z.core.$ZodIssue, report: Report): void {
  if (issue.code !== "unrecognized_keys") report([name, ...issue.path], issue.message);
  else for (const key of issue.keys) report([name, key], whyUnknown(key));
}

const whyUnknown = (key: string) =>
  /pass|pw|secret|hash|crypt|token|key/i.test(key)
    ? "no password stands here: the mailbox's owner chooses it, by an invitation (`mailfruit user invite`)"
    : `is none of ${Object.keys(mailboxKeys).join(", ")}`;

/** What is right by itself and wrong together. */
function reportContradictions(name: string, keys: string[], report: Report): void {
  const says = (key: MailboxKey) => keys.includes(key);
  const meaningless = (key: MailboxKey, why: string) =>
    says(key) && report([name, key], `means nothing ${why}`, removal([name, key]));
  if (says("delete") && !says("backup"))
    report([name, "backup"], "must say where the mail is kept before it is deleted");
  if (says("delete"))
    for (const key of ["quota", "aliases"] as const) meaningless(key, "with delete");
  else meaningless("backup", "without delete");
}

function reportDoubled(mailboxes: Read[], testAddress: string | null, report: Report): void {
  const seen = new Set<string>();
  for (const { name, mailbox } of mailboxes) {
    if (mailbox.address === testAddress) report([name], "is made by the setting debug already");
    if (seen.has(mailbox.address)) report([name], "stands here twice, in upper and lower case");
    seen.add(mailbox.address);
  }
}

function reportAliases(mailboxes: Read[], testAddress: string | null, report: Report): void {
  const taken = new Set([...mailboxes.map(({ mailbox }) => mailbox.address), testAddress]);
  for (const { name, mailbox } of mailboxes) {
    if (mailbox.kind !== "kept") continue;
    for (const [index, alias] of mailbox.aliases.entries()) {
      const path: Path = [name, "aliases", index];
      if (taken.has(alias)) report(path, "is a mailbox itself", removal(path));
      if (mailbox.aliases.indexOf(alias) < index) report(path, "stands here twice", removal(path));
    }
  }
}

/** The command that says it right, for a key that exists; else the one that removes it. */
function mendOf(path: Path): string {
  const [, key] = path;
  if (!isMailboxKey(key)) return removal(path);
  const set = (place: Path) =>
    `pulumi config set --path ${shellWord(written(place))} ${mailboxKeys[key].example}`;
  const isList = key === "aliases" && path.length === 2;
  return isList ? `${removal(path)} && ${set([...path, 0])}` : set(path);
}

const removal = (path: Path) => `pulumi config rm --path ${shellWord(written(path))}`;

/** In Pulumi's notation: mailboxes["anna@example.org"].aliases[0] */
function written(path: Path): string {
  const step = (key: PropertyKey) => {
    if (typeof key === "number") return `[${key}]`;
    const text = String(key);
    return /^[a-z]\w*$/i.test(text) ? `.${text}` : `["${text.replaceAll('"', '\\"')}"]`;
  };
  return `mailboxes${path.map(step).join("")}`;
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

const isMapping = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);
