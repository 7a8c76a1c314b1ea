import assert from "node:assert/strict";
import { test } from "node:test";
import { isOnionAddress } from "../../settings/onion-address.ts";
import { parseSettings } from "../../settings.ts";
import { defaults } from "./defaults.ts";
import { minimal, problemsOf, read, said } from "./read-settings.ts";

const existing = {
  machine: "existing",
  address: "192.0.2.7",
  sshHostKey: `ssh-ed25519 ${"A".repeat(68)}`,
  sshPrivateKey: "-----BEGIN X PRIVATE KEY-----\nx\n-----END X PRIVATE KEY-----\n",
};
const fingerprint = "0123456789ABCDEF0123456789ABCDEF01234567";
const publicKey = "a".repeat(52);
/** Of Debian's own services: https://onion.debian.org */
const onion = "2s4yqjx5ul6okpp3f2gaunr2syex5jgbfpfvhxxbbjwnrsvbk5v3qbid.onion";

test("an onion name is taken as its checksum says", () => {
  assert.ok(isOnionAddress(onion));
  assert.ok(!isOnionAddress(onion.replace("2s4", "2s5")));
  assert.ok(!isOnionAddress("facebookcorewwwi.onion"));
});

test("a debug stack has no Tor unless it is asked for", () => {
  assert.equal(read({ debug: "true" }).tor, null);
  assert.equal(read({ debug: "true", profile: "activist" }).tor, null);
  assert.ok(read({ debug: "true", useTor: "true" }).tor);
  assert.equal(read({ useTor: "false" }).tor, null);
});

test("a profile gives defaults, each of which can be set", () => {
  assert.equal(read({}).encryptVolume, false);
  assert.equal(read({ profile: "colocated" }).encryptVolume, true);
  assert.equal(read({ profile: "colocated" }).tor?.onionOnly, "false");
  assert.equal(read({ profile: "activist" }).tor?.onionOnly, "all");
  const set = read({ profile: "activist", onionOnly: "ssh", encryptVolume: "false" });
  assert.equal(set.tor?.onionOnly, "ssh");
  assert.equal(set.encryptVolume, false);
});

test("a Tor elsewhere is used and none is installed", () => {
  const { tor } = read({ torProxyUrl: "socks5h://192.0.2.20:9150" });
  assert.equal(tor?.managed, false);
  assert.deepEqual(tor?.proxy, { host: "192.0.2.20", port: 9150 });
  assert.deepEqual(tor?.services, []);
});

test("bridges are lines, vanilla and obfs4, with comments", () => {
  const vanilla = `192.0.2.1:443 ${fingerprint}`;
  const obfs4 = `obfs4 192.0.2.2:8443 ${fingerprint} cert=Abc/+123 iat-mode=0`;
  const { tor } = read({ torBridges: `# from the mail\n${vanilla}\n\n  ${obfs4}\n` });
  assert.deepEqual(tor?.bridges, [vanilla, obfs4]);
});

test("a service can be off, closed to strangers, or have a new address", () => {
  const services = { users: { clients: { anna: publicKey }, rotation: 2 }, smtp: false };
  const { tor } = read({ onionServices: JSON.stringify(services) });
  assert.deepEqual(tor?.services, [
    { name: "users", clients: { anna: publicKey }, rotation: 2 },
    { name: "ssh", clients: {}, rotation: 0 },
  ]);
});

test("a service that doesn't exist, and a key that is none, are refused with their place", () => {
  const wrong = (value: unknown) => said({ onionServices: JSON.stringify(value) }).join("; ");
  assert.match(
    wrong({ imap: {} }),
    /^onionServices: must be a mapping.*must have users, ssh or smtp/,
  );
  assert.match(wrong({ users: { clients: { anna: "abc" } } }), /users/);
  assert.match(wrong({ users: { rotation: -1 } }), /users/);
  assert.match(wrong([]), /must be a mapping/);
});

test("what makes no sense together is refused with the reason", () => {
  const cases: [Record<string, string>, RegExp][] = [
    [{ useTor: "false", manageTor: "true" }, /^manageTor: is set, and useTor is false/],
    [{ useTor: "false", torProxyUrl: "socks5h://a.example:1" }, /^torProxyUrl: is set, and useTor/],
    [{ manageTor: "true", torProxyUrl: "socks5h://a.example:1" }, /^torProxyUrl: names a Tor else/],
    [{ manageTor: "false" }, /^torProxyUrl: must be set where useTor is true and manageTor false/],
    [{ useTor: "false", torBridges: `192.0.2.1:1 ${fingerprint}` }, /^torBridges: means nothing/],
    [{ useTor: "false", torrcExtra: "NumCPUs 1" }, /^torrcExtra: means nothing where no Tor/],
    [{ useTor: "false", onionServices: '{"ssh":false}' }, /^onionServices: means nothing/],
    [{ useTor: "false", onionOnly: "ssh" }, /^onionOnly: is ssh, and there is no onion service/],
    [
      { torProxyUrl: "socks5h://a.example:1", onionOnly: "all" },
      /^onionOnly: is all, and there is no onion service with the Tor of torProxyUrl/,
    ],
    [{ profile: "activist", useTor: "false" }, /^useTor: is false, and the profile activist/],
    [
      { onionOnly: "users", onionServices: '{"users":false}' },
      /^onionServices: users is false, and onionOnly users leaves no other way/,
    ],
    [{ ...existing, onionOnly: "ssh" }, /^address: must be the onion name of the machine's SSH/],
  ];
  for (const [texts, wanted] of cases) {
    const found = said(texts);
    assert.equal(found.length, 1, `${JSON.stringify(texts)}: ${found.join("; ")}`);
    assert.match(found[0] ?? "", wanted);
  }
});

test("an existing machine can be reached by an onion name", () => {
  const { machine } = read({ ...existing, address: onion, onionOnly: "ssh" });
  assert.ok(machine.kind === "existing");
  assert.equal(machine.address, onion);
});

test("a seed of onion keys that is too short, or stands in plain text, is refused unseen", () => {
  const [short] = problemsOf({ onionSeed: "guess me" });
  assert.match(short?.message ?? "", /32 characters/);
  assert.doesNotMatch(JSON.stringify(short), /guess me/);
  const given = { ...minimal, onionSeed: "s".repeat(40) };
  const full = Object.entries(given).map(([name, text]) => [`mailfruit:${name}`, text]);
  assert.throws(
    () => parseSettings(Object.fromEntries(full), { defaults, isSecret: () => false }),
    /onionSeed: is a secret and stands in plain text/,
  );
});

test("bridges that are secret in the stack stay secret on the way to the server", () => {
  const bridges = { torBridges: `192.0.2.1:1 ${fingerprint}` };
  assert.equal(read(bridges).tor?.secretLines, false);
  assert.equal(read(bridges, ["torBridges"]).tor?.secretLines, true);
});

test("a peer is pinned by its onion name, looked up, or by onion only", () => {
  const peers = { "b.example": { address: onion, only: true }, "a.example": { only: true } };
  assert.deepEqual(read({ onionPeers: JSON.stringify(peers) }).peers, [
    { domain: "a.example", address: null, only: true },
    { domain: "b.example", address: onion, only: true },
  ]);
});

test("a smarthost has a login whose password is a secret, or none", () => {
  const { smarthost } = read({ smarthost: "smtp.example.net:587" });
  assert.deepEqual(smarthost, { host: "smtp.example.net", port: 587, login: null });
  const known = {
    smarthost: "smtp.example.net:465",
    smarthostUser: "anna",
    smarthostPassword: "pw",
  };
  assert.equal(read(known, ["smarthostPassword"]).smarthost?.login?.user, "anna");
});

test("peers and smarthosts that make no sense are refused with the reason", () => {
  const peers = (value: unknown) => JSON.stringify({ "b.example": value });
  const cases: [Record<string, string>, RegExp][] = [
    [
      { useTor: "false", onionPeers: peers({ address: onion }) },
      /^onionPeers: means nothing without/,
    ],
    [{ onionPeers: peers({}) }, /^onionPeers: b\.example has neither address nor only/],
    [{ onionPeers: peers({ address: "b.onion" }) }, /^onionPeers: .*must be an onion name/],
    [
      { onionOnly: "all", onionPeers: peers({ only: true }) },
      /a hidden server asks no DNS for one/,
    ],
    [{ smarthostUser: "anna" }, /^smarthostUser: means nothing without smarthost/],
    [{ smarthost: "a.example:25", smarthostUser: "anna" }, /^smarthostPassword: must be set where/],
  ];
  for (const [texts, wanted] of cases) {
    const found = said(texts);
    assert.equal(found.length, 1, `${JSON.stringify(texts)}: ${found.join("; ")}`);
    assert.match(found[0] ?? "", wanted);
  }
});
