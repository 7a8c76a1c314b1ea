import type { Attribute, BridgedResource, Properties, Value } from "../kit.ts";
import { inputsAsState } from "../kit.ts";
import { extendedKeyUsages, keyUsages } from "./usages.ts";

/** Loaded when something is made: a run without changes does without. */
const keys = () => import("./keys.ts");
const certificates = () => import("./certificates.ts");

const fixed: Attribute = { forceNew: true };
const flag: Attribute = { forceNew: true, default: false };
/** Its version says when it has changed. */
const writeOnly: Attribute = { writeOnly: true };

const oneOf =
  (names: readonly string[]) =>
  (value: Value): string | undefined =>
    typeof value === "string" && names.includes(value)
      ? undefined
      : `Invalid Attribute Value Match. value must be one of: [${names.map((n) => `"${n}"`).join(" ")}], got: "${value}"`;

const atLeast =
  (least: number) =>
  (value: Value): string | undefined =>
    typeof value === "number" && value >= least
      ? undefined
      : `Invalid Attribute Value. value must be at least ${least}, got: ${value}`;

const allowedUse = oneOf([...keyUsages.keys(), ...extendedKeyUsages.keys()].sort());
const eachAllowedUse = (value: Value): string | undefined =>
  Array.isArray(value) ? value.map(allowedUse).find((reason) => reason !== undefined) : undefined;

const holder: BridgedResource["attributes"] = {
  dnsNames: fixed,
  ipAddresses: fixed,
  privateKeyPem: fixed,
  privateKeyPemWo: writeOnly,
  privateKeyPemWoVersion: fixed,
  subject: fixed,
  uris: fixed,
};

const validity: BridgedResource["attributes"] = {
  allowedUses: { forceNew: true, validate: eachAllowedUse },
  earlyRenewalHours: { default: 0, validate: atLeast(0) },
  isCaCertificate: flag,
  maxPathLength: { forceNew: true, computed: true, validate: atLeast(-1) },
  setSubjectKeyId: flag,
  validityPeriodHours: { forceNew: true, validate: atLeast(0) },
};

/** Makes a table into a resource that lives in the state alone. */
function stored(
  attributes: BridgedResource["attributes"],
  computed: string[],
  rest: Pick<BridgedResource, "create"> & Partial<BridgedResource>,
): BridgedResource {
  return {
    attributes,
    computed,
    defaultsAreInputs: false,
    read: async ({ state }) => (Object.keys(state).length === 0 ? null : state),
    importState: () => {
      throw new Error("this resource cannot be imported: it exists in the state only");
    },
    delete: async () => {},
    ...rest,
  };
}

export const privateKey: BridgedResource = stored(
  {
    algorithm: { forceNew: true, validate: oneOf(["RSA", "ECDSA", "ED25519"]) },
    ecdsaCurve: {
      forceNew: true,
      default: "P224",
      validate: oneOf(["P224", "P256", "P384", "P521"]),
    },
    rsaBits: { forceNew: true, default: 2048 },
  },
  [
    "privateKeyOpenssh",
    "privateKeyPem",
    "privateKeyPemPkcs8",
    "publicKeyFingerprintMd5",
    "publicKeyFingerprintSha256",
    "publicKeyOpenssh",
    "publicKeyPem",
  ],
  {
    secretOutputs: ["privateKeyOpenssh", "privateKeyPem", "privateKeyPemPkcs8"],
    create: async ({ inputs }) => await (await keys()).makePrivateKey(inputs),
  },
);

export const certRequest: BridgedResource = stored(holder, ["certRequestPem", "keyAlgorithm"], {
  secretOutputs: ["privateKeyPem", "privateKeyPemWo"],
  plan: needsOneOf("privateKeyPem", "privateKeyPemWo"),
  create: async ({ inputs }) => {
    const { id, outputs } = (await certificates()).makeCertRequest(inputs);
    return { id, outputs: { ...inputsAsState(holder, inputs), ...outputs } };
  },
});

const validityOutputs = ["certPem", "readyForRenewal", "validityEndTime", "validityStartTime"];

const selfSigned = { ...holder, ...validity, setAuthorityKeyId: flag };

export const selfSignedCert: BridgedResource = stored(
  selfSigned,
  [...validityOutputs, "keyAlgorithm"],
  {
    secretOutputs: ["privateKeyPem", "privateKeyPemWo"],
    plan: planCertificate(needsOneOf("privateKeyPem", "privateKeyPemWo")),
    read: readCertificate,
    create: async ({ inputs }) => {
      const { id, outputs } = (await certificates()).makeSelfSignedCert(inputs);
      return { id, outputs: { ...inputsAsState(selfSigned, inputs), ...outputs } };
    },
    update: async ({ oldState, news }) => ({ ...oldState, ...inputsAsState(selfSigned, news) }),
  },
);

const locallySigned: BridgedResource["attributes"] = {
  ...validity,
  caCertPem: fixed,
  caPrivateKeyPem: fixed,
  caPrivateKeyPemWo: writeOnly,
  caPrivateKeyPemWoVersion: fixed,
  certRequestPem: fixed,
};

export const locallySignedCert: BridgedResource = stored(
  locallySigned,
  [...validityOutputs, "caKeyAlgorithm"],
  {
    secretOutputs: ["caPrivateKeyPem", "caPrivateKeyPemWo"],
    plan: planCertificate(needsOneOf("caPrivateKeyPem", "caPrivateKeyPemWo")),
    read: readCertificate,
    create: async ({ inputs, log }) => {
      const { id, outputs, warning } = (await certificates()).makeLocallySignedCert(inputs);
      if (warning !== undefined) log("warning", warning);
      return { id, outputs: { ...inputsAsState(locallySigned, inputs), ...outputs } };
    },
    update: async ({ oldState, news }) => ({ ...oldState, ...inputsAsState(locallySigned, news) }),
  },
);

function needsOneOf(name: string, writeOnlyName: string): NonNullable<BridgedResource["plan"]> {
  return (_state, inputs) => {
    const given = [inputs[name], inputs[writeOnlyName]].filter((value) => (value ?? null) !== null);
    if (given.length === 1) return undefined;
    throw new Error(
      `Invalid Attribute Combination: exactly one of '${name}' and '${writeOnlyName}' must be given`,
    );
  };
}

/** A certificate whose time (less `earlyRenewalHours`) has come is replaced by the next run. */
function planCertificate(
  check: NonNullable<BridgedResource["plan"]>,
): NonNullable<BridgedResource["plan"]> {
  return (state, inputs) => {
    check(state, inputs);
    if (state === null || !isDue(state, inputs)) return undefined;
    return { outOfDate: ["readyForRenewal"] };
  };
}

const hourMilliseconds = 3_600_000;

function isDue(state: Properties, source: Properties): boolean {
  const end = Date.parse(String(state.validityEndTime));
  const early = Number(source.earlyRenewalHours ?? 0) * hourMilliseconds;
  return Number.isFinite(end) && end - early <= Date.now();
}

async function readCertificate({ state }: { state: Properties }): Promise<Properties | null> {
  if (Object.keys(state).length === 0) return null;
  return isDue(state, state) ? { ...state, readyForRenewal: true } : state;
}
