import type { X509Certificate } from "node:crypto";
import type { Socket } from "node:net";
import { type ConnectionOptions, connect, type SecureVersion, type TLSSocket } from "node:tls";
import type { Seen } from "./dialogues.ts";
import { type Place, withoutNames } from "./place.ts";

const versions: SecureVersion[] = ["TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"];
/** As OpenSSL names them. */
const groups = [
  ...["X25519MLKEM768", "SecP256r1MLKEM768", "SecP384r1MLKEM1024", "X25519", "P-256", "X448"],
  ...["P-384", "P-521", "ffdhe2048", "ffdhe3072", "ffdhe4096", "ffdhe6144", "ffdhe8192"],
];
/** What a client says to come to TLS, and the end of the answer to each. */
const startTls: Record<number, [string | null, RegExp][]> = {
  25: smtpSteps(),
  587: smtpSteps(),
  4190: [
    [null, /^OK.*\r\n/m],
    ["STARTTLS", /^OK.*\r\n/m],
  ],
};

function smtpSteps(): [string | null, RegExp][] {
  return [
    [null, /^220 .*\r\n/m],
    ["EHLO outside.example", /^250 .*\r\n/m],
    ["STARTTLS", /^220 .*\r\n/m],
  ];
}

/** TLS of a port: versions, ciphers in the server's order, groups, and what else a handshake shows. */
export async function tls(place: Place, port: number): Promise<Seen> {
  const seen: Seen = {};
  const note = (name: string, value: string) => {
    seen[`${port} TLS ${name}`] = value;
  };
  const offered: SecureVersion[] = [];
  for (const version of versions)
    if (await handshake(place, port, { minVersion: version, maxVersion: version }))
      offered.push(version);
  note("versions", offered.join(" "));
  for (const version of offered) {
    const [preferred, order] = await ciphers(place, port, version);
    note(`ciphers of ${version}`, order.join(" "));
    note(`order of ${version}`, preferred ? "the server's" : "the client's");
  }
  const taken: string[] = [];
  for (const group of groups)
    if (await handshake(place, port, { ecdhCurve: group, minVersion: "TLSv1.3" }))
      taken.push(group);
  note("groups", taken.join(" "));
  for (const protocol of ["imap", "managesieve", "smtp", "nonsense"]) {
    const answer = await handshake(place, port, { ALPNProtocols: [protocol] });
    note(`ALPN ${protocol}`, answer?.alpn ?? "refused");
  }
  const usual = await handshake(place, port, {});
  if (!usual) throw new Error(`no TLS on port ${port} of ${place.host(port)}`);
  for (const [name, value] of Object.entries(certificateFields(usual.certificates)))
    note(`certificate ${name}`, withoutNames(place, value));
  return seen;
}

const tls13Ciphers = [
  ...["TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256", "TLS_AES_128_GCM_SHA256"],
  ...["TLS_AES_128_CCM_SHA256", "TLS_AES_128_CCM_8_SHA256"],
];

/** Those that the server takes, by what it chooses when those before are no longer offered; and whether it chooses. */
async function ciphers(place: Place, port: number, version: SecureVersion) {
  const range = { minVersion: version, maxVersion: version };
  // Node wants some cipher of TLS 1.2 in any list; the range keeps it out of TLS 1.3.
  const more = version === "TLSv1.3" ? ":DEFAULT" : "";
  const choose = async (list: string) =>
    (await handshake(place, port, { ...range, ciphers: `${list}${more}:@SECLEVEL=0` }))?.cipher;
  const order: string[] = [];
  for (;;) {
    const left =
      version === "TLSv1.3"
        ? tls13Ciphers.filter((name) => !order.includes(name)).join(":")
        : `ALL:COMPLEMENTOFALL:${order.map((name) => `!${name}`).join(":")}`;
    const chosen = left === "" ? undefined : await choose(left);
    if (chosen === undefined || order.includes(chosen)) break;
    order.push(chosen);
  }
  if (order.length === 0) throw new Error(`no cipher of ${version} was found`);
  const reversed = order.length > 1 ? await choose(order.toReversed().join(":")) : order[0];
  return [reversed === order[0], order] as const;
}

interface Handshake {
  cipher: string;
  alpn: string;
  certificates: X509Certificate[];
}

/** Undefined where the two can't agree. */
async function handshake(
  place: Place,
  port: number,
  options: ConnectionOptions,
): Promise<Handshake | undefined> {
  const socket = await place.connect(port);
  for (const [line, answer] of startTls[port] ?? []) await exchange(socket, line, answer);
  return new Promise((resolve) => {
    try {
      const session = connect({
        ciphers: "DEFAULT:@SECLEVEL=0",
        ...options,
        socket,
        servername: place.servername(port),
        rejectUnauthorized: false,
      });
      session.once("secureConnect", () => {
        const result = {
          cipher: cipherOf(session),
          alpn: session.alpnProtocol || "none",
          certificates: chainOf(session),
        };
        session.destroy();
        resolve(result);
      });
      session.once("error", () => {
        socket.destroy();
        resolve(undefined);
      });
    } catch {
      // Our own OpenSSL knows no such cipher or group: the server is not asked.
      socket.destroy();
      resolve(undefined);
    }
  });
}

function cipherOf(session: TLSSocket): string {
  const { name } = session.getCipher();
  return name;
}

function chainOf(session: TLSSocket): X509Certificate[] {
  const chain: X509Certificate[] = [];
  let link = session.getPeerX509Certificate();
  while (link && !chain.some(({ fingerprint256 }) => fingerprint256 === link?.fingerprint256)) {
    chain.push(link);
    link = link.issuerCertificate;
  }
  return chain;
}

function certificateFields(chain: X509Certificate[]): Record<string, string> {
  const [leaf] = chain;
  if (!leaf) throw new Error("the server showed no certificate");
  const days = (leaf.validToDate.getTime() - leaf.validFromDate.getTime()) / 86_400_000;
  const { asymmetricKeyType: type, asymmetricKeyDetails: details } = leaf.publicKey;
  return {
    subject: leaf.subject,
    issuer: leaf.issuer,
    names: leaf.subjectAltName ?? "none",
    key: `${type} ${details?.namedCurve ?? details?.modulusLength}`,
    days: String(Math.round(days)),
    "extended key usage": leaf.keyUsage?.join(" ") ?? "none",
    chain: String(chain.length),
    extensions: extensionsOf(leaf).join(" "),
  };
}

const extensionNames = {
  "2.5.29.14": "subjectKeyIdentifier",
  "2.5.29.15": "keyUsage",
  "2.5.29.17": "subjectAltName",
  "2.5.29.19": "basicConstraints",
  "2.5.29.35": "authorityKeyIdentifier",
  "2.5.29.37": "extKeyUsage",
};

/** The extensions that there are (RFC 5280 section 4.2.1), in the order in which they stand. */
function extensionsOf({ raw }: X509Certificate): string[] {
  return Object.entries(extensionNames)
    .map(([oid, name]) => {
      const last = Number(oid.split(".").at(-1));
      // DER of the object identifier 2.5.29.N.
      return { name, at: raw.lastIndexOf(Buffer.from([0x06, 0x03, 0x55, 0x1d, last])) };
    })
    .filter(({ at }) => at >= 0)
    .sort((a, b) => a.at - b.at)
    .map(({ name }) => name);
}

function exchange(socket: Socket, line: string | null, answer: RegExp): Promise<void> {
  return new Promise((resolve, reject) => {
    let received = "";
    const done = (error?: Error) => {
      socket.off("data", gather).off("error", done).off("end", hungUp);
      if (error) reject(error);
      else resolve();
    };
    const hungUp = () => done(new Error(`the server hung up after ${received}`));
    const gather = (data: Buffer) => {
      received += data.toString("latin1");
      if (answer.test(received)) done();
    };
    socket.on("data", gather).on("error", done).on("end", hungUp);
    if (line !== null) socket.write(`${line}\r\n`);
  });
}
