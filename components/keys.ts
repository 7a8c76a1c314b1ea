import { createHash, hkdfSync } from "node:crypto";
import * as pulumi from "@pulumi/pulumi";
import * as tls from "@pulumi/tls";

/** PEM texts; `ca` is what a client trusts the chain by. */
export interface TlsMaterial {
  key: pulumi.Output<string>;
  publicKey: pulumi.Output<string>;
  chain: pulumi.Output<string>;
  ca: pulumi.Output<string>;
}

const DAY = 24;
const YEAR = 365 * DAY;
/** Apple's clients refuse server certificates that are valid for longer than 825 days; 397 is what public ones had. */
const certificateHours = 397 * DAY;
const renewalHours = 60 * DAY;

/** What the server's certificate is for and how long, whoever signs it. */
const serverCertificate = {
  allowedUses: ["digital_signature", "server_auth"],
  setSubjectKeyId: true,
  validityPeriodHours: certificateHours,
  earlyRenewalHours: renewalHours,
};

/** An ed25519 key pair for SSH. */
export function sshKey(name: string, parent: pulumi.Resource): tls.PrivateKey {
  return new tls.PrivateKey(name, { algorithm: "ED25519" }, { parent });
}

/** A key for TLS: P-256, which every mail program can do. */
function tlsKey(name: string, parent: pulumi.Resource): tls.PrivateKey {
  return new tls.PrivateKey(name, { algorithm: "ECDSA", ecdsaCurve: "P256" }, { parent });
}

/** A certificate for `hostname` from a CA of the stack's own, for trying things out. */
export function certificateOfOwnCa(
  name: string,
  hostname: pulumi.Input<string>,
  parent: pulumi.Resource,
): TlsMaterial {
  const caKey = tlsKey(`${name}-ca-key`, parent);
  const ca = new tls.SelfSignedCert(
    `${name}-ca`,
    {
      privateKeyPem: caKey.privateKeyPem,
      isCaCertificate: true,
      subject: { commonName: pulumi.interpolate`CA of ${hostname}` },
      allowedUses: ["cert_signing", "crl_signing"],
      setSubjectKeyId: true,
      validityPeriodHours: 10 * YEAR,
      earlyRenewalHours: 2 * YEAR,
    },
    { parent },
  );
  const key = tlsKey(`${name}-key`, parent);
  const request = new tls.CertRequest(
    `${name}-request`,
    { privateKeyPem: key.privateKeyPem, subject: { commonName: hostname }, dnsNames: [hostname] },
    { parent },
  );
  const certificate = new tls.LocallySignedCert(
    `${name}-cert`,
    {
      certRequestPem: request.certRequestPem,
      caPrivateKeyPem: caKey.privateKeyPem,
      caCertPem: ca.certPem,
      ...serverCertificate,
    },
    { parent },
  );
  return {
    key: key.privateKeyPem,
    publicKey: key.publicKeyPem,
    chain: certificate.certPem,
    ca: ca.certPem,
  };
}

/** A first certificate that vouches for itself, so that the services start. */
export function selfSignedCertificate(
  name: string,
  hostname: pulumi.Input<string>,
  parent: pulumi.Resource,
): TlsMaterial {
  const key = tlsKey(`${name}-key`, parent);
  const certificate = new tls.SelfSignedCert(
    `${name}-cert`,
    {
      privateKeyPem: key.privateKeyPem,
      subject: { commonName: hostname },
      dnsNames: [hostname],
      ...serverCertificate,
    },
    { parent },
  );
  return {
    key: key.privateKeyPem,
    publicKey: key.publicKeyPem,
    chain: certificate.certPem,
    ca: certificate.certPem,
  };
}

/** SHA-256 of a public key, as Postfix knows a client by it: "AB:CD:…" (postconf(5), smtpd_tls_fingerprint_digest). */
export function keyFingerprint({ publicKey }: TlsMaterial): pulumi.Output<string> {
  const der = (pem: string) => Buffer.from(pem.replace(/-----[^-]+-----/g, ""), "base64");
  return publicKey.apply(
    (pem) =>
      createHash("sha256").update(der(pem)).digest("hex").toUpperCase().match(/../g)?.join(":") ??
      "",
  );
}

/** What onion keys are made of, where the stack's settings don't say. */
export function onionSeed(name: string, parent: pulumi.Resource): pulumi.Output<string> {
  return derivedSecret(name, "onion", 32, parent);
}

/** A password of 120 bits, stable as long as its key is. */
export function generatedPassword(name: string, parent: pulumi.Resource): pulumi.Output<string> {
  return derivedSecret(name, "password", 15, parent);
}

/** The key of an encrypted volume, 256 bits. As long as the volume, and the private key that the state encrypts. */
export function volumeKey(name: string, parent: pulumi.Resource): pulumi.Output<string> {
  return derivedSecret(name, "volume", 32, parent);
}

/** HKDF (RFC 5869) of a private key that the state encrypts. */
function derivedSecret(
  name: string,
  purpose: string,
  bytes: number,
  parent: pulumi.Resource,
): pulumi.Output<string> {
  const seed = new tls.PrivateKey(name, { algorithm: "ED25519" }, { parent });
  return pulumi.secret(
    seed.privateKeyPem.apply((pem) =>
      Buffer.from(hkdfSync("sha256", pem, "", purpose, bytes)).toString("base64url"),
    ),
  );
}
