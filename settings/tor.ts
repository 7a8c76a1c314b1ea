import type * as pulumi from "@pulumi/pulumi";
import { z } from "zod";
import { fromBase32 } from "./onion-address.ts";
import { type Field, flag, lines, oneOf, orEmpty, structure } from "./text.ts";

/** The onion services of a server: what users and their programs use, SSH, and SMTP for other servers. */
export const serviceNames = ["users", "ssh", "smtp"] as const;
export type ServiceName = (typeof serviceNames)[number];

/** An onion service, as the stack wants it. */
export interface OnionService {
  name: ServiceName;
  /** Public keys of client authorization, base32, by the client's name; without any everybody may come. */
  clients: Record<string, string>;
  /** Counted up, it gives the service a new key and so a new address. */
  rotation: number;
}

/**
 * What is reachable by onion only: nothing; SSH; SSH and what users use; or all, which also lets nothing out but Tor.
 */
export type OnionOnly = "false" | "ssh" | "users" | "all";

/** How the server uses Tor. */
export interface TorSettings {
  /** Whether Tor runs on the server itself. */
  managed: boolean;
  /** The SOCKS proxy, whoever runs it; names are resolved by it. */
  proxy: { host: string; port: number };
  /** As after "Bridge " in a torrc. */
  bridges: string[];
  /** Lines for the torrc. */
  extra: string[];
  /** Where Debian's packages come from: its onion mirrors, the machine's own sources, or below this URL. */
  mirror: string;
  services: OnionService[];
  onionOnly: OnionOnly;
  /** Of what onion keys are made; null where the stack makes one. */
  seed: pulumi.Output<string> | null;
  /** Whether bridges or extra lines are secret in the stack's file. */
  secretLines: boolean;
}

/** Whether nobody is to learn where the server is: it speaks to nobody but by Tor. */
export const isHidden = ({ tor }: { tor: TorSettings | null }) => tor?.onionOnly === "all";

/** Whether users come by onion only. */
export const hidesUsers = ({ tor }: { tor: TorSettings | null }) =>
  tor?.onionOnly === "users" || isHidden({ tor });

export type Profile = "casual" | "colocated" | "activist";

const x25519Key = z
  .string()
  .refine(
    (text) => /^[a-zA-Z2-7]{52}$/.test(text) && fromBase32(text)?.length === 32,
    "must be a public key of 52 letters and digits, as `npm run mailfruit -- onion key NAME` shows it",
  );
const clientName = z
  .string()
  .regex(/^[a-z0-9][a-z0-9-]{0,31}$/, "must be a name of letters, digits and -");
const service = z.union(
  [
    z.literal(false),
    z.strictObject({
      clients: z.record(clientName, x25519Key).default({}),
      rotation: z.int().min(0).max(9999).default(0),
    }),
  ],
  "must be false, or a mapping with clients or rotation",
);
const services = z.strictObject(
  { users: service.optional(), ssh: service.optional(), smtp: service.optional() },
  "must have users, ssh or smtp",
);

const bridge =
  /^(obfs4 )?(\d{1,3}(\.\d{1,3}){3}|\[[0-9a-fA-F:]+\]):\d{1,5}( [0-9A-Fa-f]{40})?( (cert|iat-mode)=\S+)*$/;
/** What would undo what the other settings say, or what tor can't change while it runs. */
const ownOptions =
  /^\s*(SocksPort|ControlSocket|ControlPort|DataDirectory|HiddenService\w+|UseBridges|Bridge|ClientTransportPlugin|User|RunAsDaemon|PidFile)\b/i;

/** The settings that are about Tor; see settings.ts. */
export const torFields = {
  profile: { type: oneOf("casual", "colocated", "activist"), example: "casual" },
  useTor: { type: orEmpty(flag), example: "true" },
  manageTor: { type: orEmpty(flag), example: "true" },
  torProxyUrl: {
    type: orEmpty(
      z
        .string()
        .regex(
          /^socks5h:\/\/([a-z0-9.-]+|\[[0-9a-f:]+\]):\d{1,5}$/,
          "must be socks5h://HOST:PORT, with the h, by which Tor and not this server looks names up",
        ),
    ),
    example: "socks5h://192.0.2.20:9050",
  },
  torBridges: {
    type: lines(
      bridge,
      "must be lines as ADDRESS:PORT FINGERPRINT or obfs4 ADDRESS:PORT FINGERPRINT cert=… iat-mode=…",
    ),
    example: "< bridges.txt",
  },
  torrcExtra: {
    type: lines(/^[A-Za-z_]\w* /, "must be lines of a torrc, as MaxCircuitDirtiness 600").refine(
      (all) => !all.some((line) => ownOptions.test(line)),
      "has an option that other settings are for (SocksPort, HiddenService…, Bridge, …)",
    ),
    example: "'MaxCircuitDirtiness 600'",
  },
  torMirror: {
    type: z
      .string()
      .regex(
        /^(onion|sources|https?:\/\/[a-z0-9.:-]+[a-z0-9](\/[\w./-]*[\w-])?)$/,
        "must be onion, sources, or a URL that has debian and debian-security below it",
      ),
    example: "onion",
  },
  onionServices: {
    type: structure(services, "must be a mapping"),
    path: ".users.clients.anna",
    example: "BASE32_PUBLIC_KEY",
  },
  onionOnly: { type: orEmpty(oneOf("false", "ssh", "users", "all")), example: "ssh" },
  onionSeed: {
    type: orEmpty(z.string().min(32, "must have 32 characters or more")),
    example: '"$(openssl rand -hex 32)"',
    secret: true,
  },
} satisfies Record<string, Field>;

type TorValues = { [K in keyof typeof torFields]: z.output<(typeof torFields)[K]["type"]> };

/** A value that is given, or what the profile says. */
const or = <T>(given: "" | T, fallback: T): T => (given === "" ? fallback : given);

/** Where Debian's own onion service or a Tor on this machine listens. */
const ownProxy = { host: "127.0.0.1", port: 9050 };

/** Tor is on wherever it isn't for trying things out. */
export const usesTor = (values: Pick<TorValues, "useTor">, debug: boolean) =>
  or(values.useTor, !debug);

const manages = ({ manageTor, torProxyUrl }: Pick<TorValues, "manageTor" | "torProxyUrl">) =>
  or(manageTor, torProxyUrl === "");

const onionOnlyOf = ({ onionOnly, profile }: Pick<TorValues, "onionOnly" | "profile">) =>
  or<OnionOnly>(onionOnly, profile === "activist" ? "all" : "false");

/** Whether Tor runs on the server itself. */
export const managesTor = (values: Partial<TorValues>, debug: boolean) =>
  isWhole(values) && usesTor(values, debug) && manages(values);

/** What is reachable by onion only; nothing where no Tor runs on the server. */
export function onionOnlyIn(values: Partial<TorValues>, debug: boolean): OnionOnly {
  return isWhole(values) && managesTor(values, debug) ? onionOnlyOf(values) : "false";
}

/** Whether a profile has the volume encrypted where the setting doesn't say. */
export const encryptsVolume = (profile: Profile) => profile !== "casual";

function servicesOf(
  wanted: TorValues["onionServices"],
  offered: readonly ServiceName[],
): OnionService[] {
  return offered.flatMap((name) => {
    const said = wanted[name];
    return said === false
      ? []
      : [{ name, clients: said?.clients ?? {}, rotation: said?.rotation ?? 0 }];
  });
}

/** How the server uses Tor; null where it doesn't. */
export function torOf(
  values: TorValues,
  given: {
    debug: boolean;
    seed: pulumi.Output<string> | null;
    secretLines: boolean;
    /** The services that a server of its kind can have. */
    offered: readonly ServiceName[];
  },
): TorSettings | null {
  if (!usesTor(values, given.debug)) return null;
  const managed = manages(values);
  return {
    managed,
    proxy: managed ? ownProxy : proxyIn(values.torProxyUrl),
    bridges: values.torBridges,
    extra: values.torrcExtra,
    mirror: values.torMirror,
    services: managed ? servicesOf(values.onionServices, given.offered) : [],
    onionOnly: onionOnlyIn(values, given.debug),
    seed: given.seed,
    secretLines: given.secretLines,
  };
}

function proxyIn(url: string) {
  const { hostname, port } = new URL(url.replace(/^socks5h:/, "http:"));
  return { host: hostname, port: Number(port || 80) };
}

type Report = (key: keyof TorValues, message: string, mend?: string) => void;

/** What is right by itself and makes no sense together. Values that are wrong themselves are missing here. */
export function torContradictions(
  values: Partial<TorValues>,
  debug: boolean | undefined,
  report: Report,
): void {
  if (!isWhole(values)) return;
  const on = usesTor(values, debug ?? false);
  reportProxy(values, on, report);
  if (on && manages(values)) reportServices(values, report);
  else
    reportMeaningless(
      values,
      on ? "with the Tor of torProxyUrl, which is not ours" : "where no Tor is used",
      report,
    );
  if (values.profile === "activist" && values.useTor === false)
    report(
      "useTor",
      "is false, and the profile activist is by Tor alone",
      "pulumi config set profile casual",
    );
}

const isWhole = (values: Partial<TorValues>): values is TorValues =>
  Object.keys(torFields).every((key) => Object.hasOwn(values, key));

const removal = (key: keyof TorValues) => `pulumi config rm ${key}`;

/** Which Tor is used has to be clear. */
function reportProxy({ manageTor, torProxyUrl }: TorValues, on: boolean, report: Report): void {
  const unused = "is set, and useTor is false: no Tor is used";
  if (!on && manageTor === true) report("manageTor", unused, "pulumi config set useTor true");
  if (!on && torProxyUrl !== "") report("torProxyUrl", unused, "pulumi config set useTor true");
  if (on && manageTor === true && torProxyUrl !== "")
    report(
      "torProxyUrl",
      "names a Tor elsewhere, and manageTor installs one here: only one of them can be used",
      removal("torProxyUrl"),
    );
  if (on && manageTor === false && torProxyUrl === "")
    report(
      "torProxyUrl",
      "must be set where useTor is true and manageTor false: which Tor is used?",
    );
}

/** Without a Tor of its own a server has no bridges and no onion services. */
function reportMeaningless(values: TorValues, why: string, report: Report): void {
  const { torBridges, torrcExtra, onionServices, onionOnly } = values;
  if (torBridges.length > 0) report("torBridges", `means nothing ${why}`, removal("torBridges"));
  if (torrcExtra.length > 0) report("torrcExtra", `means nothing ${why}`, removal("torrcExtra"));
  if (Object.keys(onionServices).length > 0)
    report("onionServices", `means nothing ${why}`, removal("onionServices"));
  if (onionOnly !== "" && onionOnly !== "false")
    report(
      "onionOnly",
      `is ${onionOnly}, and there is no onion service ${why}`,
      removal("onionOnly"),
    );
}

/** What is reachable by onion only has to be reachable by onion. */
function reportServices(values: TorValues, report: Report): void {
  const only = onionOnlyOf(values);
  const needed: Record<OnionOnly, ServiceName[]> = {
    false: [],
    ssh: ["ssh"],
    users: ["ssh", "users"],
    all: ["ssh", "users", "smtp"],
  };
  for (const name of needed[only])
    if (values.onionServices[name] === false)
      report(
        "onionServices",
        `${name} is false, and onionOnly ${only} leaves no other way to it`,
        `pulumi config rm --path onionServices.${name}`,
      );
}
