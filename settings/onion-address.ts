import { createHash } from "node:crypto";

/** The alphabet of base32 (RFC 4648 section 6), in lower case as onion names have it. */
const alphabet = "abcdefghijklmnopqrstuvwxyz234567";

/** Base32 without padding, in lower case. */
export function base32(bytes: Uint8Array): string {
  const bits = [...bytes].map((byte) => byte.toString(2).padStart(8, "0")).join("");
  const fives = bits.match(/.{1,5}/g) ?? [];
  return fives.map((five) => alphabet[Number.parseInt(five.padEnd(5, "0"), 2)]).join("");
}

/** The bytes of a base32 text; bits that fill no byte are left out. Null where it is none. */
export function fromBase32(text: string): Buffer | null {
  const values = [...text.toLowerCase()].map((letter) => alphabet.indexOf(letter));
  if (values.includes(-1)) return null;
  const bits = values.map((value) => value.toString(2).padStart(5, "0")).join("");
  const bytes = bits.match(/.{8}/g) ?? [];
  return Buffer.from(bytes.map((byte) => Number.parseInt(byte, 2)));
}

const version = 3;

/** The name of a version 3 onion service with this ed25519 public key (rend-spec-v3, section 6). */
export function onionAddress(publicKey: Uint8Array): string {
  return `${base32(Buffer.concat([publicKey, checksum(publicKey), Buffer.from([version])]))}.onion`;
}

function checksum(publicKey: Uint8Array): Buffer {
  const hash = createHash("sha3-256").update(".onion checksum").update(publicKey);
  return hash
    .update(Buffer.from([version]))
    .digest()
    .subarray(0, 2);
}

/** Whether a text is a version 3 onion name; its checksum finds a mistyped letter. */
export function isOnionAddress(text: string): boolean {
  const name = /^([a-z2-7]{56})\.onion$/.exec(text)?.[1];
  const bytes = name === undefined ? null : fromBase32(name);
  return bytes !== null && onionAddress(bytes.subarray(0, 32)) === text;
}
