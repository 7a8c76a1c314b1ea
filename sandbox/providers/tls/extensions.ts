import { isIP } from "node:net";
import type { Bytes } from "./der.ts";
import {
  boolean,
  elements,
  implicit,
  integer,
  namedBits,
  octetString,
  oid,
  readOid,
  sequence,
} from "./der.ts";
import { extendedKeyUsages, keyUsages } from "./usages.ts";

const ids = {
  subjectKeyId: "2.5.29.14",
  keyUsage: "2.5.29.15",
  alternativeNames: "2.5.29.17",
  basicConstraints: "2.5.29.19",
  authorityKeyId: "2.5.29.35",
  extendedKeyUsage: "2.5.29.37",
} as const;

function extension(id: string, critical: boolean, value: Bytes): Buffer {
  return sequence(oid(id), ...(critical ? [boolean(true)] : []), octetString(value));
}

/** What a certificate is for: the extensions of `allowedUses`. */
export function usageExtensions(uses: string[]): Buffer[] {
  const bits = uses.flatMap((use) => keyUsages.get(use) ?? []);
  const purposes = uses.flatMap((use) => extendedKeyUsages.get(use) ?? []);
  return [
    ...(bits.length > 0 ? [extension(ids.keyUsage, true, namedBits(bits))] : []),
    ...(purposes.length > 0
      ? [extension(ids.extendedKeyUsage, false, sequence(...purposes.map(oid)))]
      : []),
  ];
}

/** `maxPathLength` of 0 counts as not given, as it does in the real plugin. */
export function basicConstraints(isCa: boolean, maxPathLength: number): Buffer {
  const parts = isCa ? [boolean(true), ...(maxPathLength > 0 ? [integer(maxPathLength)] : [])] : [];
  return extension(ids.basicConstraints, true, sequence(...parts));
}

export const subjectKeyId = (id: Bytes): Buffer =>
  extension(ids.subjectKeyId, false, octetString(id));
export const authorityKeyId = (id: Bytes): Buffer =>
  extension(ids.authorityKeyId, false, sequence(implicit(0, id)));

export interface AlternativeNames {
  dnsNames: string[];
  ipAddresses: string[];
  uris: string[];
}

/** GeneralNames in DER; `null` if there are none. @throws Error on what is no IP address. */
export function encodeNames(names: AlternativeNames): Buffer | null {
  const general = [
    ...names.dnsNames.map((name) => implicit(2, Buffer.from(name, "latin1"))),
    ...names.ipAddresses.map((address) => implicit(7, addressOctets(address))),
    ...names.uris.map((uri) => implicit(6, Buffer.from(uri, "latin1"))),
  ];
  return general.length === 0 ? null : sequence(...general);
}

/** Critical where the subject is empty: then the names are all that identifies the holder. */
export const alternativeNames = (names: Bytes, critical: boolean): Buffer =>
  extension(ids.alternativeNames, critical, names);

function addressOctets(address: string): Buffer {
  const family = isIP(address);
  if (family === 0) throw new Error(`Invalid IP address: Failed to parse "${address}"`);
  return family === 4 ? ipv4Octets(address) : ipv6Octets(address);
}

const ipv4Octets = (address: string): Buffer => Buffer.from(address.split(".").map(Number));

function ipv6Octets(address: string): Buffer {
  const mapped = /^(.*:)(\d+\.\d+\.\d+\.\d+)$/.exec(address);
  if (mapped !== null) {
    const tail = ipv4Octets(mapped[2] ?? "").toString("hex");
    return ipv6Octets(`${mapped[1]}${tail.slice(0, 4)}:${tail.slice(4)}`);
  }
  const [head = "", tail] = address.split("::");
  const groups = (text: string) => text.split(":").filter((group) => group !== "");
  const before = groups(head);
  const after = groups(tail ?? "");
  const zeros = Array<string>(8 - before.length - after.length).fill("0");
  const hex = [...before, ...zeros, ...after].map((group) => group.padStart(4, "0")).join("");
  return Buffer.from(hex, "hex");
}

/** Value of an extension in a list of them; `null` if it is not there. */
function find(extensions: Bytes, id: string): Buffer | null {
  for (const each of elements(extensions)) {
    const [name, ...rest] = elements(each.content);
    if (name !== undefined && readOid(name.content) === id) return rest.at(-1)?.content ?? null;
  }
  return null;
}

/** GeneralNames in DER, of a list of extensions. */
export const findNames = (extensions: Bytes): Buffer | null =>
  find(extensions, ids.alternativeNames);

export function findSubjectKeyId(extensions: Bytes): Buffer | null {
  const value = find(extensions, ids.subjectKeyId);
  return value === null ? null : (elements(value)[0]?.content ?? null);
}
