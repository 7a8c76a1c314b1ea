import * as pulumi from "@pulumi/pulumi";
import { z } from "zod";
import { isOnionAddress } from "./onion-address.ts";
import { type Field, hostAndPort, hostname, onion, orEmpty, structure } from "./text.ts";
import type { TorSettings } from "./tor.ts";

/** Another mail server that is reached by its onion name. */
export interface OnionPeer {
  /** The domain whose mail it takes. */
  domain: string;
  /** Its onion name; null where it is looked up (SRV `_onion-mx._tcp`). */
  address: string | null;
  /** Whether its mail waits rather than going in the clear. */
  only: boolean;
}

/** A server of somebody else's that passes our mail on. */
export interface Smarthost {
  host: string;
  port: number;
  login: { user: string; password: pulumi.Output<string> } | null;
}

const peer = z.strictObject(
  { address: onion.optional(), only: z.literal(true).optional() },
  "must be a mapping with address or only",
);

/** The settings of how mail goes to other servers; see settings.ts. */
export const peerFields = {
  onionPeers: {
    type: structure(z.record(hostname, peer), "must be a mapping of mail domains"),
    path: `["example.net"].address`,
    example: "2s4yqjx5ul6okpp3f2gaunr2syex5jgbfpfvhxxbbjwnrsvbk5v3qbid.onion",
  },
  smarthost: { type: orEmpty(hostAndPort), example: "smtp.example.net:465" },
  smarthostUser: {
    type: z.string().regex(/^[\x21-\x39\x3b-\x7e]*$/, "must be a user name"),
    example: "anna",
  },
  smarthostPassword: {
    type: z.string().regex(/^[\x20-\x7e]*$/, "must be a password of one line"),
    example: "< password.txt",
    secret: true,
  },
} satisfies Record<string, Field>;

type PeerValues = { [K in keyof typeof peerFields]: z.output<(typeof peerFields)[K]["type"]> };

/** Peers in the order of their domains. */
export function peersOf({ onionPeers }: PeerValues): OnionPeer[] {
  return Object.entries(onionPeers)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([domain, { address, only }]) => ({
      domain,
      address: address ?? null,
      only: only ?? false,
    }));
}

/** Null where mail goes to its receivers' servers itself. */
export function smarthostOf(values: PeerValues): Smarthost | null {
  const [host, port] = values.smarthost.split(":");
  if (!host || !port) return null;
  const { smarthostUser: user, smarthostPassword: password } = values;
  return {
    host,
    port: Number(port),
    login: user ? { user, password: pulumi.secret(password) } : null,
  };
}

type Report = (key: keyof PeerValues, message: string, mend?: string) => void;

/** What makes no sense together. `tor` is how the server uses Tor, as far as that is known. */
export function peerContradictions(
  values: Partial<PeerValues>,
  tor: Pick<TorSettings, "managed" | "onionOnly"> | null,
  report: Report,
): void {
  const { onionPeers = {}, smarthost = "", smarthostUser = "", smarthostPassword = "" } = values;
  if (Object.keys(onionPeers).length > 0 && !tor?.managed)
    report(
      "onionPeers",
      "means nothing without a Tor on the server",
      "pulumi config rm onionPeers",
    );
  for (const [domain, { address, only }] of Object.entries(onionPeers)) {
    if (address === undefined && !only)
      report(
        "onionPeers",
        `${domain} has neither address nor only`,
        `pulumi config rm --path 'onionPeers["${domain}"]'`,
      );
    if (address === undefined && tor?.onionOnly === "all")
      report("onionPeers", `${domain} has no address, and a hidden server asks no DNS for one`);
  }
  if (isOnionAddress(smarthost.split(":")[0] ?? "") && !tor?.managed)
    report("smarthost", "is an onion name, and no Tor runs on the server");
  for (const key of ["smarthostUser", "smarthostPassword"] as const)
    if (values[key] && smarthost === "")
      report(key, "means nothing without smarthost", `pulumi config rm ${key}`);
  if (smarthost !== "" && (smarthostUser === "") !== (smarthostPassword === ""))
    report(
      smarthostUser === "" ? "smarthostUser" : "smarthostPassword",
      "must be set where the other one is",
    );
}
