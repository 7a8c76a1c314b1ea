import { z } from "zod";
import { type Field, oneOf, orEmpty } from "./text.ts";
import type { OnionOnly, ServiceName } from "./tor.ts";

/** What a server is: one with mailboxes, or one that passes mail on for a hidden one. */
export type Kind = "mail" | "gateway";

/** The settings of what a server is; see settings.ts. */
export const kindFields = {
  kind: { type: oneOf("mail", "gateway"), example: "gateway" },
  gatewayClient: {
    type: orEmpty(
      z
        .string()
        .regex(
          /^([0-9A-F]{2}:){31}[0-9A-F]{2}$/,
          "must be a SHA-256 fingerprint, as the hidden server's stack has it in its output smtpFingerprint",
        ),
    ),
    example:
      "E3:B0:C4:42:98:FC:1C:14:9A:FB:F4:C8:99:6F:B9:24:27:AE:41:E4:64:9B:93:4C:A4:95:99:1B:78:52:B8:55",
  },
} satisfies Record<string, Field>;

type KindValues = { [K in keyof typeof kindFields]: z.output<(typeof kindFields)[K]["type"]> };

/** What the rest of the settings says that a gateway has a say in. */
interface Rest {
  mailDomain: string | undefined;
  /** The domains of onionPeers that have an address. */
  peers: string[];
  /** Addresses. */
  mailboxes: string[];
  managesTor: boolean;
  onionOnly: OnionOnly;
  /** The onion services that the settings speak of. */
  services: ServiceName[];
}

type Key = keyof KindValues | "onionPeers" | "mailboxes" | "onionOnly" | "onionServices";
type Report = (key: Key, message: string, mend?: string) => void;

/** What makes no sense together. */
export function kindContradictions(
  { kind, gatewayClient }: Partial<KindValues>,
  rest: Rest,
  report: Report,
): void {
  if (kind === "gateway") reportGateway(rest, report);
  if (kind === "mail" && gatewayClient)
    report("gatewayClient", "means nothing where kind is mail", "pulumi config rm gatewayClient");
}

function reportGateway(rest: Rest, report: Report): void {
  const { mailDomain, peers, mailboxes, managesTor, onionOnly, services } = rest;
  if (!managesTor)
    report(
      "kind",
      "is gateway, which passes mail on by onion, and no Tor runs on it",
      "pulumi config set useTor true",
    );
  if (mailDomain && !peers.includes(mailDomain))
    report(
      "onionPeers",
      `must have the address of the hidden server of ${mailDomain}, to which a gateway passes its mail on`,
      `pulumi config set --path 'onionPeers["${mailDomain}"].address' ONION_NAME`,
    );
  if (onionOnly === "users" || onionOnly === "all")
    report(
      "onionOnly",
      `is ${onionOnly}, and a gateway is what the world reaches`,
      "pulumi config set onionOnly ssh",
    );
  if (mailboxes.length > 0)
    report(
      "mailboxes",
      "means nothing on a gateway, which stores no mail",
      "pulumi config rm mailboxes",
    );
  if (services.includes("users"))
    report(
      "onionServices",
      "has users, of which a gateway has none",
      "pulumi config rm --path onionServices.users",
    );
}
