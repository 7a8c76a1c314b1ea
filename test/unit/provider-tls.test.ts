// The stand-in plugin for @pulumi/tls, through its own process and gRPC. That the real plugin's
// certificates are the same bit for bit is not shown: Node's and OpenSSL's verdict on ours is.
import assert from "node:assert/strict";
import { createHash, createPrivateKey, createPublicKey, X509Certificate } from "node:crypto";
import { after, before, describe, test } from "node:test";
import tls from "node:tls";
import type { JavaScriptValue } from "google-protobuf/google/protobuf/struct_pb.js";
import ssh2 from "ssh2";
import {
  Plugin,
  type PluginResource,
  type Properties,
  reveal,
  unknown,
} from "./providers/plugin.ts";

const algorithms: [string, Properties][] = [
  ["RSA", { algorithm: "RSA", rsaBits: 2048 }],
  ["ECDSA P256", { algorithm: "ECDSA", ecdsaCurve: "P256" }],
  ["ECDSA P384", { algorithm: "ECDSA", ecdsaCurve: "P384" }],
  ["ECDSA P521", { algorithm: "ECDSA", ecdsaCurve: "P521" }],
  ["Ed25519", { algorithm: "ED25519" }],
];

const text = (value: JavaScriptValue | undefined): string => {
  assert.equal(typeof value, "string");
  return String(value);
};

describe("the tls plugin", { timeout: 60_000 }, () => {
  let plugin: Plugin;
  let keys: PluginResource;
  let selfSigned: PluginResource;
  let requests: PluginResource;
  let signed: PluginResource;

  before(async () => {
    plugin = await Plugin.start("tls");
    await plugin.configure();
    keys = plugin.of("tls:index/privateKey:PrivateKey");
    selfSigned = plugin.of("tls:index/selfSignedCert:SelfSignedCert");
    requests = plugin.of("tls:index/certRequest:CertRequest");
    signed = plugin.of("tls:index/locallySignedCert:LocallySignedCert");
  });
  after(async () => {
    assert.equal(await plugin.stop(), 0, "the plugin ends with its engine");
  });

  const newKey = async (inputs: Properties): Promise<string> =>
    text(reveal((await keys.create(inputs)).state.privateKeyPem));

  const authority = async (key: string, changes: Properties = {}) =>
    await selfSigned.create({
      privateKeyPem: key,
      subject: { commonName: "Test & CA", organization: "Ärzte", country: "DE" },
      isCaCertificate: true,
      allowedUses: ["cert_signing", "crl_signing"],
      validityPeriodHours: 24,
      ...changes,
    });

  for (const [name, inputs] of algorithms) {
    test(`a ${name} key comes in all its forms, and its private forms are secret`, async () => {
      const { id, state } = await keys.create(inputs);
      const key = createPrivateKey(text(reveal(state.privateKeyPem)));
      const info = createPublicKey(key).export({ type: "spki", format: "der" });
      assert.equal(id, createHash("sha1").update(info).digest("hex"));
      assert.ok(createPrivateKey(text(reveal(state.privateKeyPemPkcs8))).equals(key));
      assert.ok(createPublicKey(text(state.publicKeyPem)).equals(createPublicKey(key)));
      const parsed = ssh2.utils.parseKey(text(reveal(state.privateKeyOpenssh)));
      assert.ok(!(parsed instanceof Error), String(parsed));
      const line = `${parsed.type} ${parsed.getPublicSSH().toString("base64")}\n`;
      assert.equal(state.publicKeyOpenssh, line);
      const blob = parsed.getPublicSSH();
      const sha256 = createHash("sha256").update(blob).digest("base64").replace(/=+$/, "");
      assert.equal(state.publicKeyFingerprintSha256, `SHA256:${sha256}`);
      const md5 = createHash("md5").update(blob).digest("hex").match(/../g);
      assert.equal(state.publicKeyFingerprintMd5, md5?.join(":"));
    });

    test(`a server with a certificate by a ${name} authority is trusted by its clients`, async () => {
      const caKey = await newKey(inputs);
      const ca = await authority(caKey, { setAuthorityKeyId: true });
      const key = await newKey({ algorithm: "ECDSA", ecdsaCurve: "P256" });
      const request = await requests.create({
        privateKeyPem: key,
        subject: { commonName: "mail.example.org" },
        dnsNames: ["mail.example.org", "*.example.net"],
        ipAddresses: ["10.1.2.3", "fd00::1"],
      });
      const made = await signed.create({
        certRequestPem: request.state.certRequestPem ?? "",
        caPrivateKeyPem: caKey,
        caCertPem: ca.state.certPem ?? "",
        allowedUses: ["digital_signature", "server_auth"],
        validityPeriodHours: 12,
      });
      const [ours, theirs] = [text(made.state.certPem), text(ca.state.certPem)];
      const certificate = new X509Certificate(ours);
      assert.ok(certificate.checkIssued(new X509Certificate(theirs)));
      assert.ok(certificate.verify(new X509Certificate(theirs).publicKey));
      assert.ok(certificate.checkHost("imap.example.net"));
      assert.ok(certificate.checkIP("fd00::1"));
      assert.equal(certificate.ca, false);
      assert.equal(await greeting({ key, cert: ours }, theirs), "trusted");
    });
  }

  test("P-224, the default curve, has no form for OpenSSH", async () => {
    const { state } = await keys.create({ algorithm: "ECDSA" });
    assert.equal(state.ecdsaCurve, "P224");
    assert.equal(state.publicKeyOpenssh, "");
    assert.match(text(reveal(state.privateKeyPem)), /^-----BEGIN EC PRIVATE KEY-----/);
  });

  test("a preview makes no key, and says that all of its forms are unknown", async () => {
    const { state } = await keys.create({ algorithm: "ED25519" }, { preview: true });
    assert.equal(reveal(state.privateKeyPem), unknown);
    assert.equal(state.publicKeyOpenssh, unknown);
    assert.equal(state.algorithm, "ED25519");
  });

  test("what the SDK's types do not allow is refused by name", async () => {
    const failures = async (inputs: Properties) => (await keys.check(inputs)).failures;
    assert.deepEqual(await failures({}), ["Missing required property 'algorithm'"]);
    assert.deepEqual(await failures({ algorithm: "ED25519", bits: 1 }), [
      "Invalid or unknown key. Examine values at 'it.bits'.",
    ]);
    assert.deepEqual(await failures({ algorithm: "RSA", rsaBits: "2048" }), [
      "expected number type, got string type. Examine values at 'it.rsaBits'.",
    ]);
    assert.match(
      String(await failures({ algorithm: "DSA" })),
      /"RSA" "ECDSA" "ED25519".*got: "DSA"/,
    );
    const wrongUse = { privateKeyPem: "x", allowedUses: ["serve"], validityPeriodHours: 1 };
    assert.match(String((await selfSigned.check(wrongUse)).failures), /got: "serve"/);
  });

  test("an input that holds a private key is secret, whatever the program says", async () => {
    const key = await newKey({ algorithm: "ED25519" });
    const { inputs, state } = await authority(key);
    assert.equal(reveal(inputs.privateKeyPem), key);
    assert.equal(reveal(state.privateKeyPem), key);
  });

  test("a changed key or name makes a new certificate, an earlier renewal does not", async () => {
    const key = await newKey({ algorithm: "ED25519" });
    const { state } = await authority(key);
    const base = {
      privateKeyPem: key,
      subject: { commonName: "Test & CA", organization: "Ärzte", country: "DE" },
      isCaCertificate: true,
      allowedUses: ["cert_signing", "crl_signing"],
      validityPeriodHours: 24,
    };
    const plain = { ...state, privateKeyPem: key };
    assert.deepEqual(await selfSigned.diff(plain, base), {
      detailed: {},
      replaces: [],
      deleteFirst: false,
      any: false,
    });
    const renamed = await selfSigned.diff(plain, { ...base, subject: { commonName: "Other" } });
    assert.deepEqual(renamed.replaces, ["subject"]);
    const earlier = await selfSigned.diff(plain, { ...base, earlyRenewalHours: 2 });
    assert.deepEqual(earlier.detailed, { earlyRenewalHours: "update" });
    const made = { id: "1", state: plain, inputs: base };
    const updated = await selfSigned.update(made, { ...base, earlyRenewalHours: 2 });
    assert.equal(updated.state.certPem, state.certPem);
    assert.equal(updated.state.earlyRenewalHours, 2);
  });

  test("a certificate is replaced by the first run in its time of renewal", async () => {
    const key = await newKey({ algorithm: "ED25519" });
    const { state, inputs } = await authority(key);
    assert.equal(state.readyForRenewal, false);
    const due = { ...inputs, privateKeyPem: key, earlyRenewalHours: 24 };
    const diff = await selfSigned.diff({ ...state, privateKeyPem: key }, due);
    assert.equal(diff.detailed.readyForRenewal, "update&replace");
    const past = { ...state, validityEndTime: "2020-01-01T00:00:00.000Z" };
    const refreshed = await selfSigned.read("1", { state: past, inputs });
    assert.equal(refreshed?.state.readyForRenewal, true);
  });

  test("an authority and its key that don't belong together are refused", async () => {
    const [one, other] = [
      await newKey({ algorithm: "ED25519" }),
      await newKey({ algorithm: "ED25519" }),
    ];
    const ca = await authority(one);
    const request = await requests.create({ privateKeyPem: other, dnsNames: ["a.example"] });
    const inputs = {
      certRequestPem: request.state.certRequestPem ?? "",
      caPrivateKeyPem: other,
      caCertPem: ca.state.certPem ?? "",
      allowedUses: [],
      validityPeriodHours: 1,
    };
    await assert.rejects(signed.create(inputs), /PrivateKey doesn't match parent's PublicKey/);
  });

  test("an error about a key does not show it", async () => {
    const broken = "-----BEGIN PRIVATE KEY-----\nY2FuYXJ5\n-----END PRIVATE KEY-----\n";
    const inputs = { privateKeyPem: broken, dnsNames: ["a.example"] };
    await assert.rejects(requests.create(inputs), (error: Error) => {
      assert.match(error.message, /failed to parse private key/);
      assert.doesNotMatch(error.message, /Y2FuYXJ5|canary/);
      return true;
    });
  });
});

/** Serves TLS with a certificate, connects as a client that trusts one authority, says how it went. */
async function greeting(options: tls.TlsOptions, ca: string): Promise<string> {
  const server = tls.createServer({ ...options, minVersion: "TLSv1.3" }, (socket) => {
    socket.end("trusted");
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  try {
    return await new Promise((resolve, reject) => {
      const socket = tls.connect({ port, host: "127.0.0.1", ca, servername: "mail.example.org" });
      socket.once("data", (data) => resolve(String(data)));
      socket.once("error", reject);
    });
  } finally {
    server.close();
  }
}
