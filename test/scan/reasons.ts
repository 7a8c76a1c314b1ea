import type { Seen } from "./dialogues.ts";

/** Why something looks other than on a plain Debian, and exactly how. */
export interface Reason {
  /** What it is about, for people. */
  about: string;
  /** The looks that it is about, by their names. */
  where: RegExp;
  /** What of plain Debian's answer, and what stands there instead; null where it can be anything. */
  plain: RegExp;
  ours: string | null;
  why: string;
}

const certbot =
  "Until certificates come from a public CA, a server has one of the stack's own. Whoever has one of Let's Encrypt looks like all others here.";
const noOldTls = "TLS before 1.2 is broken (RFC 8996).";
const oneHostKey =
  "The host key is pinned before the first connection. With a second one a client could choose one that isn't.";
const shortTags = "Tags of eight bytes are too short (`smtpd_tls_mandatory_ciphers = high`).";
const outlook = "Outlook's submission knows LOGIN only. Inside of TLS it is as good as PLAIN.";
const nothingReadable = "With `inboundTls: required` no mail comes in readable.";

/** Every difference that is meant. What isn't explained by these is a mistake, and so is a reason that explains nothing. */
export const reasons: Reason[] = [
  {
    about: "SMTP: SIZE",
    where: /^\d+ EHLO/,
    plain: /SIZE 10240000/,
    ours: "SIZE 26214400",
    why: "Mail of 25 MiB is taken, as the large providers do; 10 MB are too little for photographs.",
  },
  {
    about: "AUTH LOGIN",
    where: /^(465|587) EHLO in TLS$|^4190 (capabilities in TLS|CAPABILITY)$/,
    plain: /PLAIN(?="?$)/m,
    ours: "PLAIN LOGIN",
    why: outlook,
  },
  {
    about: "AUTH LOGIN",
    where: /^993 (greeting|CAPABILITY)$/,
    plain: /AUTH=PLAIN/,
    ours: "AUTH=PLAIN AUTH=LOGIN",
    why: outlook,
  },
  {
    about: "IMAP: QUOTA",
    where: /^993 (LOGIN|CAPABILITY after login)$/,
    plain: /LITERAL\+$/m,
    ours: "LITERAL+ QUOTA",
    why: "Mailboxes have a size, and mail programs show how full they are.",
  },
  {
    about: "mail without STARTTLS on 25",
    where: /^25 MAIL in the clear/,
    plain: /^250 2.1.0 Ok$/,
    ours: "530 5.7.0 Must issue a STARTTLS command first",
    why: nothingReadable,
  },
  {
    about: "mail without STARTTLS on 25",
    where: /^25 AUTH in the clear/,
    plain: /^503 5.5.1 Error: authentication not enabled$/,
    ours: "530 5.7.0 Must issue a STARTTLS command first",
    why: nothingReadable,
  },
  {
    about: "VRFY of a bare name",
    where: /^25 VRFY test$/,
    plain: /^252 2\.0\.0 test$/,
    ours: "504 5.5.2 <test>: Recipient address rejected: need fully-qualified address",
    why: "An address without a domain is nobody's, as users of mail are no users of the machine.",
  },
  {
    about: "the code for relaying",
    where: /^\d+ RCPT elsewhere$/,
    plain: /^454 4\.7\.1 /,
    ours: "554 5.7.1 ",
    why: "Who sends mail to the wrong server learns it at once, and not after five days.",
  },
  {
    about: 'the name of the table in "User unknown"',
    where: /^25 RCPT nobody$/,
    plain: /local recipient table/,
    ours: "virtual mailbox table",
    why: "Users of mail are no users of the machine. So says every Postfix with virtual mailboxes.",
  },
  {
    about: "a sender that isn't the login's own",
    where: /^(465|587) foreign sender$/,
    plain: /^250 2\.1\.5 Ok$/,
    ours: "553 5.7.1 <bert@outside.example>: Sender address rejected: not owned by user test@DOMAIN",
    why: "Nobody sends in another's name. Seen only after a login.",
  },
  {
    about: "ManageSieve: a login before STARTTLS",
    where: /^4190 login in the clear$/,
    plain: /^NO "Cleartext authentication/,
    ours: 'NO (ENCRYPT-NEEDED) "Authentication',
    why: "Nothing goes without TLS, whatever the mechanism (`ssl = required`).",
  },
  {
    about: "SSH: types of host keys",
    where: /^22 host key$/,
    plain: /^.*$/,
    ours: "ssh-ed25519",
    why: oneHostKey,
  },
  {
    about: "TLS 1.0 and 1.1",
    where: /^\d+ TLS versions$/,
    plain: /TLSv1 TLSv1\.1 /,
    ours: "",
    why: noOldTls,
  },
  {
    about: "TLS 1.0 and 1.1",
    where: /^\d+ TLS (ciphers|order) of TLSv1(\.1)?$/,
    plain: /^.+$/,
    ours: "",
    why: noOldTls,
  },
  {
    about: "AES-CCM-8 for SMTP",
    where: /^(25|465|587) TLS ciphers of TLSv1\.2$/,
    plain: / \S*CCM8 \S*CCM8/,
    ours: "",
    why: shortTags,
  },
  {
    about: "the certificate's issuer, validity and chain",
    where: /^\d+ TLS certificate (issuer|days|chain)$/,
    plain: /^[\s\S]*$/,
    ours: null,
    why: certbot,
  },
  {
    about: "the certificate's issuer, validity and chain",
    where:
      /^testssl \d+ (cert_(caIssuers|chain_of_trust|trust|numbers|extlifeSpan)|certs_(countServer|list_ordering_problem)|certificate_transparency|intermediate_cert.*)/,
    plain: /^[\s\S]*$/,
    ours: null,
    why: certbot,
  },
  {
    about: "TLS 1.0 and 1.1",
    where:
      /^testssl (25|465) (TLS1|TLS1_1|.*tls1(_1)?|cipher-tls1(_1)?_x.*|supportedciphers_TLSv1(_1)?|cipherlist_.*|FS_ciphers)$/,
    plain: /^[\s\S]*$/,
    ours: null,
    why: noOldTls,
  },
  {
    about: "AES-CCM-8 for SMTP",
    where: /^testssl (25|465) (cipher-tls1_2_xc0a[ef]|supportedciphers_TLSv1_2)$/,
    plain: /^[\s\S]*$/,
    ours: null,
    why: shortTags,
  },
  {
    about: "SSH: types of host keys",
    where: /^ssh-audit key (?!ssh-ed25519)/,
    plain: /^offered$/,
    ours: "",
    why: oneHostKey,
  },
  {
    about: "ports 143 and 2000",
    where: /^nmap (143|2000)$/,
    plain: /^.+$/,
    ours: "",
    why: "A port less: IMAP in TLS from the start is enough, and 2000 is ManageSieve's of before 2010.",
  },
];

export interface Difference {
  name: string;
  ours: string;
  plain: string;
  /** What explains all of it; empty where nothing does. */
  reasons: Reason[];
}

/** What differs between two scans, each difference with what explains all of it. */
export function differences(ours: Seen, plain: Seen): Difference[] {
  const names = [...new Set([...Object.keys(plain), ...Object.keys(ours)])];
  return names
    .map((name) => ({ name, ours: ours[name] ?? "", plain: plain[name] ?? "" }))
    .filter((pair) => pair.ours !== pair.plain)
    .map((pair) => ({ ...pair, reasons: explanation(pair) }));
}

function explanation({ name, ours, plain }: Omit<Difference, "reasons">): Reason[] {
  let expected = plain;
  const used: Reason[] = [];
  for (const reason of reasons.filter(({ where }) => where.test(name))) {
    const changed = reason.ours === null ? ours : expected.replace(reason.plain, reason.ours);
    if (changed !== expected) used.push(reason);
    expected = changed;
  }
  return expected === ours ? used : [];
}

export const unexplained = (found: Difference[]) => found.filter((one) => one.reasons.length === 0);

/** Reasons that no difference needs: what they excuse has gone. */
export function needless(found: Difference[]): Reason[] {
  const used = new Set(found.flatMap((one) => one.reasons));
  return reasons.filter((reason) => !used.has(reason));
}
