import type { KeyObject } from "node:crypto";
import { createHash, createPrivateKey, generateKeyPair } from "node:crypto";
import { promisify } from "node:util";
import type { Made, Properties } from "../kit.ts";
import { toPem } from "./der.ts";
import { opensshPrivateKey, opensshPublicKey } from "./openssh.ts";
import { publicKeyInfo } from "./signature.ts";

const generate = promisify(generateKeyPair);

const curves: { [name: string]: string } = {
  P224: "secp224r1",
  P256: "prime256v1",
  P384: "secp384r1",
  P521: "secp521r1",
};

async function newKey(inputs: Properties): Promise<KeyObject> {
  switch (inputs.algorithm) {
    case "RSA":
      return (await generate("rsa", { modulusLength: Number(inputs.rsaBits ?? 2048) })).privateKey;
    case "ECDSA":
      return (
        await generate("ec", { namedCurve: curves[String(inputs.ecdsaCurve ?? "P224")] ?? "" })
      ).privateKey;
    default:
      return (await generate("ed25519")).privateKey;
  }
}

const sha1 = (data: Uint8Array) => createHash("sha1").update(data).digest("hex");

/** A new key in all the forms that the real plugin gives. */
export async function makePrivateKey(inputs: Properties): Promise<Made> {
  const key = await newKey(inputs);
  const info = publicKeyInfo(key);
  const pkcs8 = key.export({ type: "pkcs8", format: "pem" }).toString();
  return {
    id: sha1(info),
    outputs: {
      algorithm: inputs.algorithm ?? null,
      rsaBits: inputs.rsaBits ?? 2048,
      ecdsaCurve: inputs.ecdsaCurve ?? "P224",
      privateKeyPem: traditionalPem(key) ?? pkcs8,
      privateKeyPemPkcs8: pkcs8,
      publicKeyPem: toPem("PUBLIC KEY", info),
      ...opensshForms(key),
    },
  };
}

/** PKCS #1 or SEC 1; `null` for kinds that have only PKCS #8. */
function traditionalPem(key: KeyObject): string | null {
  if (key.asymmetricKeyType === "rsa")
    return key.export({ type: "pkcs1", format: "pem" }).toString();
  if (key.asymmetricKeyType === "ec") return key.export({ type: "sec1", format: "pem" }).toString();
  return null;
}

/** OpenSSH knows no P-224: then these are empty. */
function opensshForms(key: KeyObject): Properties {
  const line = opensshPublicKey(key);
  if (line === null) {
    return {
      privateKeyOpenssh: "",
      publicKeyOpenssh: "",
      publicKeyFingerprintMd5: "",
      publicKeyFingerprintSha256: "",
    };
  }
  const blob = Buffer.from(line.split(" ")[1] ?? "", "base64");
  const md5 = createHash("md5").update(blob).digest("hex").match(/../g) ?? [];
  const sha256 = createHash("sha256").update(blob).digest("base64").replace(/=+$/, "");
  return {
    privateKeyOpenssh: opensshPrivateKey(key),
    publicKeyOpenssh: line,
    publicKeyFingerprintMd5: md5.join(":"),
    publicKeyFingerprintSha256: `SHA256:${sha256}`,
  };
}

/** @throws Error, without the text in it, on what is no private key. */
export function parsePrivateKey(pem: string): KeyObject {
  if (!pem.includes("-----BEGIN ")) {
    const size = Buffer.byteLength(pem);
    throw new Error(`failed to decode PEM block: decoded bytes 0, undecoded ${size}`);
  }
  try {
    return createPrivateKey(pem);
  } catch {
    throw new Error("failed to parse private key given PEM preamble");
  }
}

const algorithms: { [type: string]: string } = { rsa: "RSA", ec: "ECDSA", ed25519: "ED25519" };

/** "RSA", "ECDSA" or "ED25519". */
export function algorithmName(key: KeyObject): string {
  const name = algorithms[key.asymmetricKeyType ?? ""];
  if (name === undefined) throw new Error(`unsupported private key type: ${key.asymmetricKeyType}`);
  return name;
}
