import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { parse } from "yaml";
import { z } from "zod";
import { onionKeys } from "../../components/onion.ts";
import { isSecret, openTexts, plain, resolved } from "./mock-engine.ts";
import { existing, serverWith } from "./server.ts";

const seed = "seed-canary-of-thirty-two-letters-or-more";
const byTor = { useTor: "true", onionSeed: seed };
const hidden = { ...byTor, profile: "activist", encryptVolume: "false", dns: "manual" };
const onion = (name: string, rotation = 0) => onionKeys(seed, name, rotation).address;

suite("a server with Tor", () => {
  test("has Tor before it fetches anything but Tor", async () => {
    const server = await serverWith(byTor);
    const first = server.stdinOf("packages-before-tor");
    assert.match(first, /^packages="apt-transport-tor obfs4proxy python3 python3-yaml tor"$/m);
    assert.match(first, /^units="tor.service"$/m);
    assert.ok(server.waits("mail-host-packages", "mail-host-downloads"));
    assert.ok(server.waits("mail-host-downloads", "mail-host-tor"));
    assert.ok(server.waits("mail-host-tor", "mail-host-packages-before-tor"));
    assert.ok(server.waits("mail-host-system", "mail-host-packages"));
  });

  test("knows its onion names in the first preview, where there is a seed", async () => {
    const { server } = await serverWith(byTor, { preview: true });
    assert.equal(await resolved(server.onion.users), onion("users"));
    assert.equal(await resolved(server.onion.ssh), onion("ssh"));
    assert.equal(await resolved(server.onion.smtp), onion("smtp"));
  });

  test("has names that a rotation changes, one by one", async () => {
    const services = JSON.stringify({ users: { rotation: 1 }, smtp: false });
    const { server } = await serverWith({ ...byTor, onionServices: services });
    assert.equal(await resolved(server.onion.users), onion("users", 1));
    assert.notEqual(onion("users", 1), onion("users"));
    assert.equal(await resolved(server.onion.ssh), onion("ssh"));
    assert.equal(server.onion.smtp, undefined);
  });

  test("sends its onion keys as a secret, and its seed nowhere in the open", async () => {
    const server = await serverWith(byTor);
    assert.ok(isSecret(server.named("mail-host-onion").inputs.stdin));
    assert.ok(isSecret(server.named("mail-host-onion-tls").inputs.stdin));
    const open = server.all.flatMap(({ inputs }) => openTexts(inputs)).join("\n");
    assert.ok(!open.includes("seed-canary"));
    assert.ok(!open.includes(onionKeys(seed, "ssh", 0).secretKeyFile));
  });

  test("shows its torrc in a preview, unless the bridges in it are secret", async () => {
    const server = await serverWith(byTor);
    assert.ok(!isSecret(server.named("mail-host-tor").inputs.stdin));
    const torrc = server.fileOf("tor", "/etc/tor/torrc");
    assert.match(
      torrc,
      new RegExp(`^HiddenServiceDir .*onion-users-${onion("users").slice(0, 16)}$`, "m"),
    );
    assert.match(torrc, /^HiddenServicePort 25 127\.0\.0\.1:10025$/m);
    assert.doesNotMatch(torrc, /127\.0\.0\.1:25$/m);
  });

  test("takes no mail by onion in the name of its own domain, and none for others", async () => {
    const master = (await serverWith(byTor)).fileOf("postfix", "/etc/postfix/master.cf");
    const listener = /^127\.0\.0\.1:10025 inet.*\n(?: {2}.*\n)+/m.exec(master)?.[0] ?? "";
    assert.match(listener, /smtpd_upstream_proxy_protocol=haproxy/);
    assert.match(listener, /check_sender_access proxy:sqlite:\/etc\/postfix\/sqlite\/ours\.cf/);
    assert.doesNotMatch(listener, /mynetworks/);
  });

  test("with the Tor of somebody else gets apt's proxy, and nothing of Tor", async () => {
    const server = await serverWith({ useTor: "true", torProxyUrl: "socks5h://192.0.2.20:9150" });
    const names = [...server.commands().keys()];
    for (const role of ["tor", "onion", "onion-tls", "onion-dovecot", "onion-ssh", "hidden"])
      assert.ok(!names.includes(role), role);
    const first = server.stdinOf("packages-before-tor");
    assert.match(first, /^packages="apt-transport-tor python3 python3-yaml"$/m);
    assert.match(first, /^first_proxy="socks5h:\/\/192\.0\.2\.20:9150"$/m);
    const apt = server.fileOf("downloads", "/etc/apt/apt.conf.d/80tor");
    assert.equal(apt.match(/"socks5h:\/\/apt:x@192\.0\.2\.20:9150"/g)?.length, 3);
    assert.deepEqual(server.server.onion, {});
  });

  test("without Tor has nothing of it", async () => {
    const server = await serverWith({ useTor: "false" });
    const texts = [...server.commands().values()].map(({ inputs }) => String(plain(inputs.stdin)));
    assert.ok(!texts.some((text) => /socks5h:\/\/apt:x|HiddenService(Dir|Port) |9050/.test(text)));
    for (const name of ["packages-before-tor", "tor", "onion", "onion-tls", "downloads", "hidden"])
      assert.ok(!server.commands().has(name), name);
  });

  test("fetches Debian from its onion services, or from what the setting says", async () => {
    const sources = async (texts: Record<string, string>) =>
      (await serverWith({ ...byTor, ...texts })).fileOf(
        "mirror",
        "/etc/apt/sources.list.d/debian.sources",
      );
    assert.match(await sources({}), /^URIs: tor\+http:\/\/2s4yqjx5ul\w+\.onion\/debian$/m);
    const own = await sources({ torMirror: "https://mirror.example/pub" });
    assert.match(own, /^URIs: tor\+https:\/\/mirror\.example\/pub\/debian-security$/m);
    const kept = await serverWith({ ...byTor, torMirror: "sources" });
    assert.ok(![...kept.commands().keys()].includes("mirror"));
  });
});

suite("a server that is reached by onion only", () => {
  const portsOf = async (texts: Record<string, string>) => {
    const rule = z.looseObject({ protocol: z.string(), portRange: z.string().optional() });
    const { inputs } = (await serverWith({ ...byTor, ...texts })).named("mail-firewall");
    return z
      .array(rule)
      .parse(inputs.inboundRules)
      .map(({ protocol, portRange }) => portRange ?? protocol);
  };

  test("has closed in the cloud what onionOnly says", async () => {
    assert.deepEqual(await portsOf({}), ["22", "25", "465", "587", "993", "4190", "icmp"]);
    assert.deepEqual(await portsOf({ onionOnly: "ssh" }), [
      "25",
      "465",
      "587",
      "993",
      "4190",
      "icmp",
    ]);
    assert.deepEqual(await portsOf({ onionOnly: "users" }), ["25", "icmp"]);
    assert.deepEqual(await portsOf({ onionOnly: "all" }), []);
  });

  const firstBoot = z.looseObject({
    packages: z.array(z.string()),
    write_files: z.array(
      z.object({
        path: z.string(),
        content: z.string(),
        permissions: z.string(),
        defer: z.boolean(),
      }),
    ),
    runcmd: z.array(z.array(z.string())),
  });

  test("never listens for SSH in the clear, and has Tor from its first boot on", async () => {
    const droplet = (await serverWith(hidden)).named("mail-droplet");
    assert.ok(isSecret(droplet.inputs.userData));
    assert.deepEqual(droplet.ignoreChanges, ["userData"]);
    const config = firstBoot.parse(parse(String(plain(droplet.inputs.userData))));
    const file = (path: string) => config.write_files.find((each) => each.path === path);
    const sshd = file("/etc/ssh/sshd_config.d/20-onion.conf");
    assert.equal(sshd?.defer, false);
    assert.match(sshd?.content ?? "", /^ListenAddress 127\.0\.0\.1$/m);
    assert.match(file("/etc/tor/torrc")?.content ?? "", /^HiddenServicePort 22 127\.0\.0\.1:22$/m);
    assert.doesNotMatch(file("/etc/tor/torrc")?.content ?? "", /^HiddenServicePort 25 /m);
    assert.equal(file("/etc/tor/onion-services.json")?.permissions, "0600");
    assert.ok(config.packages.includes("nftables"));
    const order = config.runcmd.map((argv) => argv.join(" "));
    assert.ok(
      order.indexOf("systemctl enable --now hidden.service") <
        order.indexOf("systemctl enable --now tor.service"),
    );
    assert.equal(file("/etc/cloud/cloud-init.disabled"), undefined);
  });

  test("tells nobody its address or its name", async () => {
    const server = await serverWith(hidden);
    assert.equal(server.named("mail-droplet").inputs.name, "debian-13-x64-s-1vcpu-2gb-fra1");
    const zone = String(await resolved(server.server.zoneFile));
    assert.doesNotMatch(zone, /\sA{1,4}\s/);
    assert.ok(!zone.includes("192.0.2.10"));
  });

  test("gets out to its bridges alone, where it has any", async () => {
    const fingerprint = "0123456789ABCDEF0123456789ABCDEF01234567";
    const torBridges = `obfs4 192.0.2.2:8443 ${fingerprint} cert=Abc iat-mode=0\n[2001:db8::1]:443 ${fingerprint}`;
    const server = await serverWith({ ...hidden, torBridges });
    const rules = server.fileOf("hidden", "/etc/mailfruit/hidden.nft");
    assert.match(
      rules,
      /^ {4}meta skuid "debian-tor" ip daddr 192\.0\.2\.2 tcp dport 8443 accept$/m,
    );
    assert.match(
      rules,
      /^ {4}meta skuid "debian-tor" ip6 daddr 2001:db8::1 tcp dport 443 accept$/m,
    );
    assert.equal(rules.match(/skuid/g)?.length, 2);
  });

  test("listens for its own check alone where strangers can't come", async () => {
    const master = (await serverWith(hidden)).fileOf("postfix", "/etc/postfix/master.cf");
    assert.match(master, /^127\.0\.1\.1:smtp inet/m);
    assert.match(master, /^127\.0\.1\.1:submissions inet/m);
    assert.doesNotMatch(master, /^smtp +inet/m);
  });

  test("can be a machine that is there already, by the onion name of its SSH", async () => {
    const server = await serverWith({
      ...existing,
      ...byTor,
      onionOnly: "ssh",
      address: onion("x"),
    });
    assert.ok(server.commands().has("prove"));
  });
});
