import { createPrivateKey, type KeyObject, randomBytes } from "node:crypto";
import ssh2, { type ParsedKey } from "ssh2";

/**
 * Reads a private key in PEM (PKCS#1, SEC 1, PKCS#8 or OpenSSH's own format).
 * @throws Error in the real plugin's words, never with a part of the key.
 */
export function parsePrivateKey(text: string, passphrase: string | undefined): ParsedKey {
  const block = /-----BEGIN ([A-Z0-9 ]+)-----\r?\n([\s\S]*?)\r?\n-----END \1-----/.exec(text);
  const type = block?.[1];
  if (block === null || type === undefined) throw new Error("ssh: no key found");
  const pem = `${block[0]}\n`;
  if (passphrase !== undefined) return parseEncrypted(type, pem, passphrase);
  if (isEncrypted(type, pem)) throw new Error("ssh: this private key is passphrase protected");
  const readable = type === "PRIVATE KEY" ? fromPkcs8(pem) : pem;
  return parse(type, readable, undefined) ?? invalid(type);
}

function parseEncrypted(type: string, pem: string, passphrase: string): ParsedKey {
  if (!isEncrypted(type, pem)) {
    const openssh = type === "OPENSSH PRIVATE KEY";
    throw new Error(`ssh: ${openssh ? "key is not password protected" : "not an encrypted key"}`);
  }
  const key = parse(type, pem, passphrase);
  if (key === undefined) throw new Error("x509: decryption password incorrect");
  return key;
}

function parse(type: string, pem: string, passphrase: string | undefined): ParsedKey | undefined {
  if (!/^(RSA |EC |DSA |OPENSSH )?PRIVATE KEY$/.test(type)) {
    throw new Error(`ssh: unsupported key type "${type}"`);
  }
  const key = ssh2.utils.parseKey(pem, passphrase);
  return key instanceof Error ? undefined : key;
}

function invalid(type: string): never {
  if (type === "OPENSSH PRIVATE KEY") throw new Error("ssh: invalid openssh private key format");
  throw new Error(`ssh: the private key ("${type}") is damaged`);
}

function isEncrypted(type: string, pem: string): boolean {
  if (type !== "OPENSSH PRIVATE KEY") return /^Proc-Type:.*ENCRYPTED/m.test(pem);
  const body = Buffer.from(pem.replaceAll(/-----[^\n]*-----/g, ""), "base64");
  const cipher = "openssh-key-v1\0".length;
  return body.length > cipher + 8 && body.toString("latin1", cipher + 4, cipher + 8) !== "none";
}

/** ssh2 doesn't read PKCS#8: the same key in a format that it reads. */
function fromPkcs8(pem: string): string {
  const key = readPkcs8(pem);
  switch (key.asymmetricKeyType) {
    case "rsa":
      return key.export({ format: "pem", type: "pkcs1" }).toString();
    case "ec":
      return key.export({ format: "pem", type: "sec1" }).toString();
    case "ed25519":
      return opensshEd25519(key);
    default:
      throw new Error(`ssh: unsupported key type ${key.asymmetricKeyType}`);
  }
}

function readPkcs8(pem: string): KeyObject {
  try {
    return createPrivateKey(pem);
  } catch {
    return invalid("PRIVATE KEY");
  }
}

/** PROTOCOL.key of OpenSSH, without encryption. */
function opensshEd25519(key: KeyObject): string {
  const { x = "", d = "" } = key.export({ format: "jwk" });
  const publicKey = Buffer.from(x, "base64url");
  const seed = Buffer.from(d, "base64url");
  const publicBlob = Buffer.concat([string("ssh-ed25519"), string(publicKey)]);
  const check = randomBytes(4);
  const secret = Buffer.concat([
    ...[check, check, publicBlob],
    ...[string(Buffer.concat([seed, publicKey])), string("")],
  ]);
  const padding = Buffer.from(
    Array.from({ length: (8 - (secret.length % 8)) % 8 }, (_, i) => i + 1),
  );
  const body = Buffer.concat([
    ...[Buffer.from("openssh-key-v1\0"), string("none"), string("none"), string("")],
    ...[uint32(1), string(publicBlob), string(Buffer.concat([secret, padding]))],
  ]);
  const lines = body.toString("base64").replaceAll(/.{70}/g, "$&\n");
  return `-----BEGIN OPENSSH PRIVATE KEY-----\n${lines}\n-----END OPENSSH PRIVATE KEY-----\n`;
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

function string(value: string | Buffer): Buffer {
  const bytes = Buffer.from(value);
  return Buffer.concat([uint32(bytes.length), bytes]);
}
