import type { KeyObject } from "node:crypto";
import { createPublicKey, sign } from "node:crypto";
import type { Bytes } from "./der.ts";
import { bitString, oid, sequence, tagged } from "./der.ts";

interface Scheme {
  hash: string | null;
  /** AlgorithmIdentifier in DER. */
  identifier: Buffer;
}

const asn1Null = tagged(0x05);
const rsa: Scheme = {
  hash: "sha256",
  identifier: sequence(oid("1.2.840.113549.1.1.11"), asn1Null),
};
const ed25519: Scheme = { hash: null, identifier: sequence(oid("1.3.101.112")) };
const ecdsa = (hash: string, last: number): Scheme => ({
  hash,
  identifier: sequence(oid(`1.2.840.10045.4.3.${last}`)),
});

/** Go's choice for a key. */
function schemeOf(key: KeyObject): Scheme {
  switch (key.asymmetricKeyType) {
    case "rsa":
      return rsa;
    case "ed25519":
      return ed25519;
    case "ec":
      return ecdsaScheme(key.asymmetricKeyDetails?.namedCurve);
    default:
      throw new Error(`unsupported private key type: ${key.asymmetricKeyType}`);
  }
}

function ecdsaScheme(curve: string | undefined): Scheme {
  if (curve === "secp384r1") return ecdsa("sha384", 3);
  if (curve === "secp521r1") return ecdsa("sha512", 4);
  return ecdsa("sha256", 2);
}

/** AlgorithmIdentifier that `signed` will write, for the inside of a certificate. */
export const algorithmOf = (key: KeyObject): Buffer => schemeOf(key).identifier;

/** SEQUENCE of what is signed, the algorithm and the signature. */
export function signed(body: Bytes, key: KeyObject): Buffer {
  const scheme = schemeOf(key);
  const signature = sign(scheme.hash, body, key);
  return sequence(body, scheme.identifier, bitString(signature));
}

/** SubjectPublicKeyInfo in DER, of a private or a public key. */
export function publicKeyInfo(key: KeyObject): Buffer {
  const publicKey = key.type === "private" ? createPublicKey(key) : key;
  return publicKey.export({ type: "spki", format: "der" });
}
