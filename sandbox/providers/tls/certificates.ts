import type { KeyObject } from "node:crypto";
import { createHash, createPublicKey, randomBytes, X509Certificate } from "node:crypto";
import type { Made, Properties } from "../kit.ts";
import type { Bytes } from "./der.ts";
import {
  element,
  elements,
  explicit,
  fromPem,
  integer,
  octetString,
  oid,
  readOid,
  sequence,
  set,
  time,
  toPem,
} from "./der.ts";
import {
  alternativeNames,
  authorityKeyId,
  basicConstraints,
  encodeNames,
  findNames,
  findSubjectKeyId,
  subjectKeyId,
  usageExtensions,
} from "./extensions.ts";
import { algorithmName, parsePrivateKey } from "./keys.ts";
import { algorithmOf, publicKeyInfo, signed } from "./signature.ts";
import type { Subject } from "./subject.ts";
import { decodeSubject, encodeSubject, subjectOf } from "./subject.ts";

const extensionRequest = "1.2.840.113549.1.9.14";
const hourMilliseconds = 3_600_000;

const texts = (value: Properties[string] | undefined): string[] =>
  Array.isArray(value) ? value.map(String) : [];

const namesOf = (inputs: Properties) =>
  encodeNames({
    dnsNames: texts(inputs.dnsNames),
    ipAddresses: texts(inputs.ipAddresses),
    uris: texts(inputs.uris),
  });

const keyOf = (inputs: Properties) =>
  parsePrivateKey(String(inputs.privateKeyPem ?? inputs.privateKeyPemWo ?? ""));

/** A PKCS #10 request. @throws Error on a key or an address that is none. */
export function makeCertRequest(inputs: Properties): Made {
  const key = keyOf(inputs);
  const subject = encodeSubject(subjectOf(inputs));
  const names = namesOf(inputs);
  const wanted =
    names === null
      ? []
      : [sequence(oid(extensionRequest), set(sequence(alternativeNames(names, isEmpty(subject)))))];
  const body = sequence(integer(0), subject, publicKeyInfo(key), explicit(0, ...wanted));
  const der = signed(body, key);
  return {
    id: createHash("sha1").update(der).digest("hex"),
    outputs: {
      keyAlgorithm: algorithmName(key),
      certRequestPem: toPem("CERTIFICATE REQUEST", der),
    },
  };
}

/** The empty SEQUENCE has no content. */
const isEmpty = (name: Bytes): boolean => element(name).content.length === 0;

interface Holder {
  subject: Subject;
  /** SubjectPublicKeyInfo in DER. */
  publicKey: Buffer;
  /** GeneralNames in DER. */
  names: Buffer | null;
}
interface Issuer {
  /** Name in DER. */
  name: Buffer;
  key: KeyObject;
  keyId: Buffer | null;
}

export function makeSelfSignedCert(inputs: Properties): Made {
  const key = keyOf(inputs);
  const subject = subjectOf(inputs);
  const holder = { subject, publicKey: publicKeyInfo(key), names: namesOf(inputs) };
  const made = certificate(inputs, holder, (keyId) => {
    if (inputs.setAuthorityKeyId === true && keyId === null) {
      throw new Error(
        "Invalid Certificate Authority: Could not determine Authority Key Identifier",
      );
    }
    const shown = inputs.setAuthorityKeyId === true ? keyId : null;
    return { name: encodeSubject(subject), key, keyId: shown };
  });
  return { id: made.id, outputs: { ...made.outputs, keyAlgorithm: algorithmName(key) } };
}

export function makeLocallySignedCert(inputs: Properties): Made & { warning?: string } {
  const holder = parseCertRequest(String(inputs.certRequestPem));
  const key = parsePrivateKey(String(inputs.caPrivateKeyPem ?? inputs.caPrivateKeyPemWo ?? ""));
  const authority = parseAuthority(String(inputs.caCertPem), key);
  const ownName = encodeSubject(holder.subject).equals(authority.issuer.name);
  const issuer = ownName ? { ...authority.issuer, keyId: null } : authority.issuer;
  const made = certificate(inputs, holder, () => issuer);
  const outputs = { ...made.outputs, caKeyAlgorithm: algorithmName(key) };
  if (authority.isCa) return { id: made.id, outputs };
  const warning =
    "Potentially Invalid Certificate Authority: Certificate provided as Authority does not appear " +
    "to be a valid Certificate Authority. The resulting certificate might fail certificate validation.";
  return { id: made.id, outputs, warning };
}

function parseCertRequest(pem: string): Holder {
  const [body, algorithm, signature] = elements(
    element(fromPem("CERTIFICATE REQUEST", pem)).content,
  );
  const [, subject, info, attributes] = elements(body?.content ?? Buffer.alloc(0));
  if (!algorithm || !signature || !subject || !info) {
    throw new Error("failed to parse certificate request");
  }
  const requested = elements(attributes?.content ?? Buffer.alloc(0)).find(
    ({ content }) => readOid(element(content).content) === extensionRequest,
  );
  const values = requested && elements(requested.content)[1];
  const extensions = values && element(element(values.content).whole);
  return {
    subject: decodeSubject(subject.content),
    publicKey: info.whole,
    names: extensions === undefined ? null : findNames(extensions.content),
  };
}

function parseAuthority(pem: string, key: KeyObject): { issuer: Issuer; isCa: boolean } {
  const certificate = new X509Certificate(fromPem("CERTIFICATE", pem));
  if (!createPublicKey(key).equals(certificate.publicKey)) {
    throw new Error(
      "Failed to create certificate: x509: provided PrivateKey doesn't match parent's PublicKey",
    );
  }
  const [body] = elements(element(certificate.raw).content);
  const fields = elements(body?.content ?? Buffer.alloc(0));
  const name = fields[5]?.whole; // version, serial, algorithm, issuer, validity, subject
  if (name === undefined) throw new Error("failed to parse certificate");
  const extensions = fields.find(({ tag }) => tag === 0xa3);
  const keyId = extensions && findSubjectKeyId(element(extensions.content).content);
  return { issuer: { name, key, keyId: keyId ?? null }, isCa: certificate.ca };
}

/** A version 3 certificate, its extensions in Go's order. */
function certificate(
  inputs: Properties,
  holder: Holder,
  issuerOf: (ownKeyId: Buffer | null) => Issuer,
): Made {
  const isCa = inputs.isCaCertificate === true;
  const subject = encodeSubject(holder.subject);
  if (isCa && isEmpty(subject)) {
    throw new Error(
      "Invalid Certificate Subject: Must contain at least one Distinguished Name when creating " +
        "Certificate Authority (CA)",
    );
  }
  const keyId = isCa || inputs.setSubjectKeyId === true ? keyIdOf(holder.publicKey) : null;
  const issuer = issuerOf(keyId);
  const start = new Date();
  const hours = Number(inputs.validityPeriodHours);
  const end = new Date(start.getTime() + hours * hourMilliseconds);
  const serial = randomBytes(16);
  const extensions = [
    ...usageExtensions(texts(inputs.allowedUses)),
    basicConstraints(isCa, Number(inputs.maxPathLength ?? -1)),
    ...(keyId === null ? [] : [subjectKeyId(keyId)]),
    ...(issuer.keyId === null ? [] : [authorityKeyId(issuer.keyId)]),
    ...(holder.names === null ? [] : [alternativeNames(holder.names, isEmpty(subject))]),
  ];
  const body = sequence(
    explicit(0, integer(2)),
    integer(serial),
    algorithmOf(issuer.key),
    issuer.name,
    sequence(time(start), time(end)),
    subject,
    holder.publicKey,
    explicit(3, sequence(...extensions)),
  );
  return {
    id: BigInt(`0x${serial.toString("hex")}`).toString(),
    outputs: {
      certPem: toPem("CERTIFICATE", signed(body, issuer.key)),
      validityStartTime: start.toISOString(),
      validityEndTime: end.toISOString(),
      readyForRenewal: hours === 0 || Number(inputs.earlyRenewalHours ?? 0) >= hours,
    },
  };
}

/** SHA-1 of the public key's bits; the real plugin wraps an Ed25519 key in an OCTET STRING first. */
function keyIdOf(publicKey: Buffer): Buffer {
  const bits = elements(element(publicKey).content)[1]?.content.subarray(1) ?? Buffer.alloc(0);
  const key = createPublicKey({ key: publicKey, type: "spki", format: "der" });
  const hashed = key.asymmetricKeyType === "ed25519" ? octetString(bits) : bits;
  return createHash("sha1").update(hashed).digest();
}
