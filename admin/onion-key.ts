import { generateKeyPairSync } from "node:crypto";
import { base32 } from "../settings/onion-address.ts";
import { type ServiceName, serviceNames } from "../settings/tor.ts";

const usage = `usage: npm run mailfruit -- [--stack NAME] onion key NAME [--service ${serviceNames.join("|")}]

Makes a pair of keys by which NAME, and nobody without one, reaches an onion service (users if not given). The private
one is shown once and kept nowhere.`;

/** The two halves of a key of client authorization (rend-spec-v3, appendix G): x25519, base32. */
export interface ClientKey {
  publicKey: string;
  secretKey: string;
}

/** A new pair, or that of a private key that is there. */
export function clientKey(privateKey = generateKeyPairSync("x25519").privateKey): ClientKey {
  const { x, d } = privateKey.export({ format: "jwk" });
  if (x === undefined || d === undefined) throw new Error("that is no x25519 key");
  const encode = (part: string) => base32(Buffer.from(part, "base64url")).toUpperCase();
  return { publicKey: encode(x), secretKey: encode(d) };
}

/** What to do with a pair: a text for the administrator, with the private key in it. */
export function instructions(
  name: string,
  service: ServiceName,
  key: ClientKey,
  onion: string | undefined,
): string {
  const address = onion?.replace(/\.onion$/, "") ?? "THE_56_CHARACTERS_OF_THE_ONION_NAME";
  return `For the stack, then \`pulumi up\`. From then on only those with a key reach the service:

    pulumi config set --path onionServices.${service}.clients.${name} ${key.publicKey}

For ${name} alone; it is shown this once. In Tor Browser and Orbot it is asked for (the last part). For a tor, a line in a
file NAME.auth_private in the folder that its torrc names as ClientOnionAuthDir:

    ${address}:descriptor:x25519:${key.secretKey}
`;
}

/** `onion key NAME …`; the exit code. `onions` are the stack's onion names, by service. */
export async function onionKey(
  args: string[],
  onions: () => Promise<Record<string, string>>,
): Promise<number> {
  const [verb, name, ...rest] = args;
  const service = rest.length === 0 ? "users" : serviceNames.find((each) => each === rest[1]);
  const fits = rest.length === 0 || (rest.length === 2 && rest[0] === "--service");
  if (
    verb !== "key" ||
    !fits ||
    service === undefined ||
    !/^[a-z0-9][a-z0-9-]{0,31}$/.test(name ?? "")
  ) {
    console.error(usage);
    return 2;
  }
  const known = await onions();
  console.log(instructions(name ?? "", service, clientKey(), known[service]));
  return 0;
}
