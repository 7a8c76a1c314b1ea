import type { JsonWebKey, KeyObject } from "node:crypto";
import { createPublicKey, randomBytes } from "node:crypto";
import { toPem } from "./der.ts";

/** SSH's names of the curves that it knows (RFC 5656). */
const curves: { [jwk: string]: string } = {
  "P-256": "nistp256",
  "P-384": "nistp384",
  "P-521": "nistp521",
};

/** A length in four octets, and the octets (RFC 4251 section 5). */
function field(value: Uint8Array | string): Buffer {
  const octets = Buffer.from(value);
  const length = Buffer.alloc(4);
  length.writeUInt32BE(octets.length);
  return Buffer.concat([length, octets]);
}

const decoded = (text: string | undefined): Buffer => Buffer.from(text ?? "", "base64url");

/** A number that is not negative, without leading zeros but for the sign. */
function mpint(text: string | undefined): Buffer {
  const octets = decoded(text);
  const first = octets.findIndex((octet) => octet !== 0);
  const trimmed = first < 0 ? Buffer.alloc(0) : octets.subarray(first);
  const sign = (trimmed[0] ?? 0) >= 0x80 ? Buffer.from([0]) : Buffer.alloc(0);
  return field(Buffer.concat([sign, trimmed]));
}

interface Forms {
  type: string;
  /** The fields after the type. */
  public: Buffer[];
  private: Buffer[];
}

/** `null` where SSH has no such kind of key (P-224). */
function formsOf(key: KeyObject): Forms | null {
  if (key.asymmetricKeyType === "ec" && key.asymmetricKeyDetails?.namedCurve === "secp224r1") {
    return null;
  }
  const jwk: JsonWebKey = key.export({ format: "jwk" });
  if (jwk.kty === "RSA") return rsaForms(jwk);
  if (jwk.kty === "OKP") return ed25519Forms(jwk);
  return ecdsaForms(jwk);
}

function rsaForms(jwk: JsonWebKey): Forms {
  return {
    type: "ssh-rsa",
    public: [mpint(jwk.e), mpint(jwk.n)],
    private: [jwk.n, jwk.e, jwk.d, jwk.qi, jwk.p, jwk.q].map(mpint),
  };
}

function ed25519Forms(jwk: JsonWebKey): Forms {
  const [x, d] = [decoded(jwk.x), decoded(jwk.d)];
  return {
    type: "ssh-ed25519",
    public: [field(x)],
    private: [field(x), field(Buffer.concat([d, x]))],
  };
}

function ecdsaForms(jwk: JsonWebKey): Forms | null {
  const curve = curves[jwk.crv ?? ""];
  if (curve === undefined) return null;
  const point = field(Buffer.concat([Buffer.from([4]), decoded(jwk.x), decoded(jwk.y)]));
  return {
    type: `ecdsa-sha2-${curve}`,
    public: [field(curve), point],
    private: [field(curve), point, mpint(jwk.d)],
  };
}

const blobOf = (forms: Forms): Buffer => Buffer.concat([field(forms.type), ...forms.public]);

/** A line of authorized_keys without a comment; `null` where SSH has no such kind of key. */
export function opensshPublicKey(key: KeyObject): string | null {
  const forms = formsOf(key.type === "private" ? createPublicKey(key) : key);
  if (forms === null) return null;
  return `${forms.type} ${blobOf(forms).toString("base64")}\n`;
}

/** Without a passphrase (OpenSSH's PROTOCOL.key); "" where SSH has no such kind of key. */
export function opensshPrivateKey(key: KeyObject): string {
  const forms = formsOf(key);
  if (forms === null) return "";
  const check = randomBytes(4);
  const comment = field("");
  const content = Buffer.concat([check, check, field(forms.type), ...forms.private, comment]);
  const padding = Buffer.from(
    Array.from({ length: (8 - (content.length % 8)) % 8 }, (_, i) => i + 1),
  );
  const count = Buffer.from([0, 0, 0, 1]);
  const body = Buffer.concat([
    Buffer.from("openssh-key-v1\0"),
    field("none"), // cipher
    field("none"), // key derivation
    field(""),
    count,
    field(blobOf(forms)),
    field(Buffer.concat([content, padding])),
  ]);
  return toPem("OPENSSH PRIVATE KEY", body);
}
