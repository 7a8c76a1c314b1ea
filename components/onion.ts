import { createHash, createPrivateKey, createPublicKey, hkdfSync } from "node:crypto";
import * as pulumi from "@pulumi/pulumi";
import { onionAddress } from "../settings/onion-address.ts";
import type { ServiceName, TorSettings } from "../settings/tor.ts";

/** A version 3 onion service's name and the two files of its keys, as tor keeps them in a HiddenServiceDir. */
export interface OnionKeys {
  address: string;
  /** hs_ed25519_secret_key, base64 */
  secretKeyFile: string;
  /** hs_ed25519_public_key, base64 */
  publicKeyFile: string;
}

/** PKCS #8 of an ed25519 key, up to its seed (RFC 8410 section 7). */
const pkcs8 = Buffer.from("302e020100300506032b657004220420", "hex");

/**
 * The keys of a service, made of the stack's seed: the same seed gives the same address on every machine. Another
 * rotation gives another one.
 */
export function onionKeys(seed: string, name: string, rotation: number): OnionKeys {
  const own = Buffer.from(hkdfSync("sha256", seed, "", `onion ${name} ${rotation}`, 32));
  const key = createPrivateKey({ key: Buffer.concat([pkcs8, own]), format: "der", type: "pkcs8" });
  const publicKey = createPublicKey(key).export({ format: "der", type: "spki" }).subarray(-32);
  return {
    address: onionAddress(publicKey),
    secretKeyFile: keyFile("secret", expanded(own)),
    publicKeyFile: keyFile("public", publicKey),
  };
}

/** The secret scalar and the prefix of nonces (RFC 8032 section 5.1.5). */
function expanded(seed: Buffer): Buffer {
  const bytes = createHash("sha512").update(seed).digest();
  bytes.writeUInt8(bytes.readUInt8(0) & 248, 0);
  bytes.writeUInt8((bytes.readUInt8(31) & 63) | 64, 31);
  return bytes;
}

/** tor's format: a tag of 32 bytes, and the key. */
function keyFile(kind: "secret" | "public", key: Buffer): string {
  const tag = Buffer.alloc(32);
  tag.write(`== ed25519v1-${kind}: type0 ==`);
  return Buffer.concat([tag, key]).toString("base64");
}

/** The onion names of a server's services, known as soon as the seed is; those of services that are off are not served. */
export type OnionNames = Record<ServiceName, pulumi.Output<string>>;

export interface OnionIdentity {
  names: OnionNames;
  /** Secret. */
  keys: Record<ServiceName, pulumi.Output<OnionKeys>>;
}

/** Names and keys of a server's onion services. */
export function onionIdentity(
  seed: pulumi.Output<string>,
  rotations: Record<ServiceName, number>,
): OnionIdentity {
  const keysOf = (name: ServiceName) =>
    pulumi.secret(seed.apply((text) => onionKeys(text, name, rotations[name])));
  const keys = { users: keysOf("users"), ssh: keysOf("ssh"), smtp: keysOf("smtp") };
  const nameOf = (name: ServiceName) => pulumi.unsecret(keys[name].address);
  return { keys, names: { users: nameOf("users"), ssh: nameOf("ssh"), smtp: nameOf("smtp") } };
}

/** The names of the services that there are. */
export function servedNames(
  settings: TorSettings | null,
  identity: OnionIdentity | null,
): Partial<OnionNames> {
  if (!settings || !identity) return {};
  return Object.fromEntries(settings.services.map(({ name }) => [name, identity.names[name]]));
}
