/** The few parts of DER (X.690) that keys, requests and certificates need. */

export type Bytes = Uint8Array;

function concat(...parts: Bytes[]): Buffer {
  return Buffer.concat(parts);
}

function lengthOf(size: number): Buffer {
  if (size < 0x80) return Buffer.from([size]);
  const hex = size.toString(16);
  const octets = Buffer.from(hex.length % 2 === 0 ? hex : `0${hex}`, "hex");
  return concat(Buffer.from([0x80 | octets.length]), octets);
}

/** A value under any tag. */
export function tagged(tag: number, ...contents: Bytes[]): Buffer {
  const content = concat(...contents);
  return concat(Buffer.from([tag]), lengthOf(content.length), content);
}

export const sequence = (...contents: Bytes[]): Buffer => tagged(0x30, ...contents);
/** SET OF: DER wants its elements sorted. */
export const set = (...contents: Bytes[]): Buffer =>
  tagged(0x31, ...contents.toSorted((one, other) => Buffer.compare(one, other)));
export const octetString = (content: Bytes): Buffer => tagged(0x04, content);
export const bitString = (content: Bytes, unusedBits = 0): Buffer =>
  tagged(0x03, Buffer.from([unusedBits]), content);
export const boolean = (value: boolean): Buffer => tagged(0x01, Buffer.from([value ? 0xff : 0]));
/** [N] as a constructed, explicit tag. */
export const explicit = (n: number, ...contents: Bytes[]): Buffer => tagged(0xa0 | n, ...contents);
/** [N] as a primitive, implicit tag. */
export const implicit = (n: number, content: Bytes): Buffer => tagged(0x80 | n, content);

/** Big-endian, not negative; a zero octet keeps the sign where it must. */
export function integer(value: Bytes | number): Buffer {
  const octets = typeof value === "number" ? Buffer.from([value]) : Buffer.from(value);
  const first = octets.findIndex((octet) => octet !== 0);
  const trimmed = first < 0 ? Buffer.from([0]) : octets.subarray(first);
  return tagged(0x02, (trimmed[0] ?? 0) >= 0x80 ? Buffer.from([0]) : Buffer.alloc(0), trimmed);
}

export function oid(dotted: string): Buffer {
  const [first = 0, second = 0, ...rest] = dotted.split(".").map(Number);
  return tagged(0x06, Buffer.from([first * 40 + second, ...rest.flatMap(base128)]));
}

function base128(arc: number): number[] {
  const digits = [arc & 0x7f];
  for (let rest = arc >>> 7; rest > 0; rest >>>= 7) digits.unshift((rest & 0x7f) | 0x80);
  return digits;
}

/** Flags by number, as a BIT STRING without trailing zeros (KeyUsage). */
export function namedBits(bits: number[]): Buffer {
  const last = Math.max(...bits);
  const octets = Buffer.alloc(Math.floor(last / 8) + 1);
  for (const bit of bits) octets[bit >> 3] = (octets[bit >> 3] ?? 0) | (0x80 >> (bit & 7));
  return bitString(octets, 7 - (last & 7));
}

/** PrintableString where its few characters do, else UTF8String: as Go chooses. */
export function directoryString(text: string): Buffer {
  const tag = /^[A-Za-z0-9 '()+,./:=?-]*$/.test(text) ? 0x13 : 0x0c;
  return tagged(tag, Buffer.from(text));
}

export const ia5String = (text: string): Buffer => tagged(0x16, Buffer.from(text, "latin1"));

/** UTCTime up to 2049, then GeneralizedTime; in whole seconds. */
export function time(date: Date): Buffer {
  const digits = date.toISOString().replace(/[-:T]|\.\d+/g, "");
  const short = date.getUTCFullYear() < 2050;
  return tagged(short ? 0x17 : 0x18, Buffer.from(short ? digits.slice(2) : digits));
}

/** One element as it was read. */
export interface Element {
  tag: number;
  content: Buffer;
  /** With tag and length. */
  whole: Buffer;
}

/** The elements that stand one after the other. @throws Error if they are cut short. */
export function elements(data: Bytes): Element[] {
  const bytes = Buffer.from(data);
  const found: Element[] = [];
  for (let at = 0; at < bytes.length; ) {
    const element = elementAt(bytes, at);
    found.push(element);
    at += element.whole.length;
  }
  return found;
}

function elementAt(bytes: Buffer, at: number): Element {
  const tag = bytes.at(at);
  const short = bytes.at(at + 1);
  if (tag === undefined || short === undefined) throw new Error("DER is cut short");
  const octets = short < 0x80 ? 0 : short & 0x7f;
  const size = octets === 0 ? short : bytes.readUIntBE(at + 2, octets);
  const start = at + 2 + octets;
  if (start + size > bytes.length) throw new Error("DER is cut short");
  return {
    tag,
    content: bytes.subarray(start, start + size),
    whole: bytes.subarray(at, start + size),
  };
}

/** The only element. */
export function element(data: Bytes): Element {
  const [first] = elements(data);
  if (first === undefined) throw new Error("DER is empty");
  return first;
}

/** Dotted text of an OBJECT IDENTIFIER's content. */
export function readOid(content: Bytes): string {
  const arcs: number[] = [];
  let arc = 0;
  for (const octet of content) {
    arc = arc * 128 + (octet & 0x7f);
    if (octet >= 0x80) continue;
    arcs.push(arc);
    arc = 0;
  }
  const [first = 0, ...rest] = arcs;
  const root = Math.min(Math.floor(first / 40), 2);
  return [root, first - root * 40, ...rest].join(".");
}

export function toPem(label: string, der: Bytes): string {
  const lines =
    Buffer.from(der)
      .toString("base64")
      .match(/.{1,64}/g) ?? [];
  return `-----BEGIN ${label}-----\n${lines.join("\n")}\n-----END ${label}-----\n`;
}

/** @throws Error where the text has no such block. */
export function fromPem(label: string, text: string): Buffer {
  const match = /-----BEGIN ([A-Z0-9 ]+)-----([\s\S]*?)-----END \1-----/.exec(text);
  if (match === null) {
    throw new Error(`failed to decode PEM of expected type "${label}" from bytes`);
  }
  if (match[1] !== label) {
    throw new Error(`invalid PEM type - expected "${label}", got "${match[1]}"`);
  }
  return Buffer.from(match[2] ?? "", "base64");
}
