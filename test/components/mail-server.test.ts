import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { suite, test } from "node:test";
import { parse } from "yaml";
import { z } from "zod";
import { userData } from "../../components/machine.ts";
import { canary, isSecret, openTexts, plain, resolved } from "./mock-engine.ts";
import { existing, hostKey, type Resources, serverWith } from "./server.ts";

const files = join(import.meta.dirname, "..", "..", "files");

suite("a droplet", () => {
  test("comes with its keys, firewall, volume, DNS and certificate, and nothing else", async () => {
    assert.deepEqual((await serverWith()).kinds(), {
      Command: 13,
      DnsRecord: 9,
      Domain: 1,
      Droplet: 1,
      Firewall: 1,
      PrivateKey: 3,
      SelfSignedCert: 1,
      SshKey: 1,
      Volume: 1,
    });
  });

  test("has the settings' kind, the server's name as its PTR, and IPv6", async () => {
    const texts = { region: "ams3", size: "s-2vcpu-4gb", image: "debian-13-x64", backups: "true" };
    const { inputs } = (await serverWith(texts)).named("mail-droplet");
    assert.deepEqual(
      [inputs.name, inputs.region, inputs.size, inputs.image, inputs.backups, inputs.ipv6],
      ["mail.anna.example", "ams3", "s-2vcpu-4gb", "debian-13-x64", true, true],
    );
  });

  test("is replaced by taking the old one away first: its name and volume are free then", async () => {
    assert.equal((await serverWith()).named("mail-droplet").deleteBeforeReplace, true);
  });

  test("comes up with the host key that is pinned, and takes no passwords", async () => {
    const droplet = (await serverWith()).named("mail-droplet");
    assert.ok(isSecret(droplet.inputs.userData), "it holds the host key's private part");
    const text = z.string().parse(plain(droplet.inputs.userData));
    assert.match(text, /^#cloud-config\n/);
    assert.deepEqual(parse(text), {
      ssh_deletekeys: true,
      ssh_keys: {
        ed25519_private: `${canary} of mail-host-key\n`,
        ed25519_public: "ssh-ed25519 AAAA+mail-host-key",
      },
      disable_root: false,
      ssh_pwauth: false,
      preserve_hostname: true,
      manage_etc_hosts: false,
    });
  });

  test("gets a host key of any shape unharmed by cloud-init's YAML", () => {
    const key = "-----BEGIN OPENSSH PRIVATE KEY-----\n  a: b # c\n=\n\n-----END-----\n";
    const { ssh_keys } = z
      .object({ ssh_keys: z.record(z.string(), z.string()) })
      .parse(parse(userData({ private: key, public: "ssh-ed25519 AAAA" })));
    assert.equal(ssh_keys.ed25519_private, key);
  });

  test("keeps mail on a volume of its own", async () => {
    const withVolume = await serverWith({ mailVolumeSize: "50" });
    assert.equal(withVolume.named("mail-mail").inputs.size, 50);
    assert.deepEqual(withVolume.named("mail-droplet").inputs.volumeIds, ["mail-mail-id"]);
    assert.match(
      String(plain(withVolume.named("mail-host-storage").inputs.stdin)),
      /DO_Volume_mail-mail-1a2b3c\n/,
    );
  });

  test("gets a volume without a file system where it is to be encrypted, and opens it before it is mounted", async () => {
    const found = await serverWith({ encryptVolume: "true" });
    assert.equal("initialFilesystemType" in found.named("mail-mail").inputs, false);
    assert.equal((await serverWith()).named("mail-mail").inputs.initialFilesystemType, "ext4");
    const { create, stdin, logging } = found.named("mail-host-open").inputs;
    assert.equal(create, "/usr/local/sbin/mail-volume prepare 10");
    assert.equal(logging, "none");
    assert.ok(isSecret(stdin));
    assert.match(String(plain(stdin)), /^[\w-]{43}$/);
    assert.ok(found.server.volumeKey);
    assert.equal(await resolved(found.server.volumeKey), plain(stdin));
    assert.ok(found.waits("mail-host-open", "mail-host-volume"));
    assert.ok(found.waits("mail-host-storage", "mail-host-open"));
    assert.match(
      String(plain(found.named("mail-host-storage").inputs.stdin)),
      /What=\/dev\/mapper\/mail\n/,
    );
  });

  test("lets in exactly the ports that something listens on", async () => {
    const rule = z.looseObject({ protocol: z.string(), portRange: z.string().optional() });
    const { inputs } = (await serverWith()).named("mail-firewall");
    const rules = z.array(rule).parse(inputs.inboundRules);
    const open = rules.flatMap(({ portRange }) => portRange ?? []).map(Number);
    const master = readFileSync(join(files, "postfix/etc/postfix/master.cf"), "utf8");
    const names: Record<string, number> = { smtp: 25, submission: 587, submissions: 465 };
    const postfix = [...master.matchAll(/^\{\{\w+\}\}(\w+) +inet /gm)].map(
      (found) => names[found[1] ?? ""],
    );
    const conf = readFileSync(join(files, "dovecot/etc/dovecot/dovecot.conf"), "utf8");
    const dovecot = [...conf.matchAll(/^ +port = (\d+)$/gm)].map((found) => Number(found[1]));
    const listening = [22, ...postfix, ...dovecot.filter((port) => port !== 0)];
    assert.deepEqual(open.sort(), listening.sort());
    assert.ok(rules.every(({ protocol }) => protocol === "tcp" || protocol === "icmp"));
  });
});

suite("an existing machine", () => {
  test("gets no droplet, firewall or volume, and no account key: only DNS and what runs on it", async () => {
    assert.deepEqual((await serverWith(existing)).kinds(), {
      Command: 10,
      DnsRecord: 8,
      Domain: 1,
      PrivateKey: 1,
      SelfSignedCert: 1,
    });
  });

  test("is reached as the settings say, with sudo where the user isn't root", async () => {
    const texts = { ...existing, sshPort: "2222", sshUser: "debian" };
    for (const { inputs, deletedWith } of (await serverWith(texts)).commands().values()) {
      assert.ok(isSecret(inputs.connection));
      assert.deepEqual(plain(inputs.connection), {
        host: "198.51.100.7",
        port: 2222,
        user: "debian",
        privateKey: existing.sshPrivateKey,
        hostKey,
        dialErrorLimit: 5,
        perDialTimeout: 15,
      });
      assert.match(String(inputs.create), /^sudo -n -- /);
      assert.equal(deletedWith, "");
    }
  });

  test("with an IPv6 address only has its records of that kind only", async () => {
    const types = (await serverWith({ ...existing, address: "2001:db8::7" }))
      .ofType("digitalocean:index/dnsRecord:DnsRecord")
      .map(({ inputs }) => inputs.type);
    assert.equal(types.includes("A"), false);
    assert.equal(types.includes("AAAA"), true);
  });

  test("whose DNS is kept elsewhere needs nothing of DigitalOcean at all", async () => {
    const { all } = await serverWith({ ...existing, dns: "manual" });
    assert.equal(
      all.some(({ type }) => type.startsWith("digitalocean:")),
      false,
    );
  });
});

suite("DNS", () => {
  const data = z.object({
    name: z.string(),
    type: z.string(),
    ttl: z.number(),
    value: z.string(),
    priority: z.number().optional(),
    weight: z.number().optional(),
    port: z.number().optional(),
  });

  /** A record of the API as a line of a zone file. */
  function line(inputs: unknown): string {
    const { name, type, ttl, value, priority, weight, port } = data.parse(inputs);
    const quoted = type === "TXT" ? `"${value}"` : value;
    return `${name} ${ttl} IN ${type} ${[priority, weight, port, quoted].filter((each) => each !== undefined).join(" ")}`;
  }

  test("has the same records by API as in the zone file", async () => {
    for (const texts of [{}, { serverHostname: "mx.eu.anna.example" }, existing]) {
      const found = await serverWith(texts);
      const byApi = found
        .ofType("digitalocean:index/dnsRecord:DnsRecord")
        .map(({ inputs }) => line(inputs));
      const zone = String(await resolved(found.server.zoneFile));
      const [origin, ...lines] = zone.trimEnd().replaceAll("\t", " ").split("\n");
      assert.equal(origin, "$ORIGIN anna.example.");
      assert.deepEqual(byApi.sort(), lines.sort());
    }
  });

  test("makes the domain only where the stack is to keep it, and no record where it is kept elsewhere", async () => {
    const kinds = async (dns: string) => {
      const { Domain, DnsRecord } = (await serverWith({ dns })).kinds();
      return [Domain ?? 0, DnsRecord ?? 0];
    };
    assert.deepEqual(await kinds("domain"), [1, 9]);
    assert.deepEqual(await kinds("records"), [0, 9]);
    assert.deepEqual(await kinds("manual"), [0, 0]);
  });

  test("lies in the mail domain, and goes with it", async () => {
    for (const dns of ["domain", "records"]) {
      const found = await serverWith({ dns });
      for (const { inputs, deletedWith } of found.ofType(
        "digitalocean:index/dnsRecord:DnsRecord",
      )) {
        assert.equal(inputs.domain, "anna.example");
        assert.equal(deletedWith, dns === "domain" ? found.named("mail-dns-domain").urn : "");
      }
    }
  });
});

const settingsOfEachKind = [
  {},
  { debug: "true" },
  { mailVolumeSize: "1", dns: "manual" },
  existing,
];

suite("every remote command", () => {
  test("pins the host key, and keeps the private key a secret", async () => {
    for (const texts of settingsOfEachKind)
      for (const { name, inputs } of (await serverWith(texts)).commands().values()) {
        assert.ok(isSecret(inputs.connection), name);
        const { hostKey } = z.looseObject({ hostKey: z.string() }).parse(plain(inputs.connection));
        assert.match(hostKey, /^ssh-ed25519 \S+$/);
      }
  });

  test("gets nothing of its last run by environment, and runs again on another machine", async () => {
    for (const texts of settingsOfEachKind)
      for (const { inputs } of (await serverWith(texts)).commands().values()) {
        assert.equal(inputs.addPreviousOutputInEnv, false);
        const identity =
          texts === existing ? "198.51.100.7 port 22" : "droplet 4711, volume mail-mail-id";
        assert.deepEqual(plain(inputs.triggers), [identity]);
        assert.equal("environment" in inputs, false, "sshd would refuse it");
      }
  });

  test("waits four minutes for a new droplet to boot, and seconds for a machine that should be there", async () => {
    const dials = z.looseObject({ dialErrorLimit: z.number() });
    const patience = async (texts: Record<string, string>) =>
      dials.parse(plain((await serverWith(texts)).named("mail-host-ready").inputs.connection));
    assert.equal((await patience({})).dialErrorLimit, 60);
    assert.equal((await patience(existing)).dialErrorLimit, 5);
  });

  test("needs nothing done on a droplet that goes away", async () => {
    const found = await serverWith({ debug: "true" });
    for (const { name, inputs, deletedWith } of found.commands().values()) {
      assert.equal(deletedWith, found.named("mail-droplet").urn, name);
      assert.equal("delete" in inputs, false);
    }
  });

  test("waits for the firewall, the packages and the program that applies roles", async () => {
    const found = await serverWith({ debug: "true" });
    for (const [name, { name: full }] of found.commands()) {
      assert.ok(found.waits(full, "mail-firewall"), name);
      if (name === "ready") continue;
      assert.ok(found.waits(full, "mail-host-ready"), name);
      if (name === "packages" || name === "apply") continue;
      assert.ok(found.waits(full, "mail-host-packages"), name);
      assert.ok(found.waits(full, "mail-host-apply"), name);
    }
  });
});

suite("roles", () => {
  test("come in an order in which each finds what it needs, and the proof comes last", async () => {
    const found = await serverWith({ debug: "true" });
    const order: [later: string, earlier: string][] = [
      ["tls", "system"],
      ["users", "system"],
      ["users", "storage"],
      ["postfix", "users"],
      ["postfix", "tls"],
      ["dovecot", "users"],
      ["dovecot", "tls"],
      ["check", "dovecot"],
      ["test-user", "users"],
    ];
    for (const [later, earlier] of order)
      assert.ok(found.waits(`mail-host-${later}`, `mail-host-${earlier}`), `${later} < ${earlier}`);
    for (const role of ["system", "storage", "tls", "users", "postfix", "dovecot", "check"])
      assert.ok(found.waits("mail-host-prove", `mail-host-${role}`), role);
  });

  test("are readable in a preview, and only the one with the key is a secret", async () => {
    for (const texts of settingsOfEachKind)
      for (const [name, { inputs }] of (await serverWith(texts)).commands()) {
        const secret = name === "tls" || name === "test-user";
        assert.equal(isSecret(inputs.stdin), secret, name);
        assert.equal(inputs.logging, secret ? "none" : "stdoutAndStderr", name);
      }
  });

  test("are each the whole folder's text, with the certificate's parts in their files", async () => {
    const commands = (await serverWith({ debug: "true" })).commands();
    const role = z.looseObject({
      files: z.record(z.string(), z.looseObject({ text: z.string() })),
    });
    const text = (name: string) =>
      role.parse(parse(String(plain(commands.get(name)?.inputs.stdin)))).files;
    assert.deepEqual(
      Object.entries(text("tls")).map(([path, { text }]) => [path, text]),
      [
        ["/etc/ssl/mail/ca.pem", "certificate mail-tls-ca\n"],
        ["/etc/ssl/mail/cert.pem", "certificate mail-tls-cert\n"],
        ["/etc/ssl/mail/key.pem", `${canary} of mail-tls-key\n`],
      ],
    );
    assert.ok(
      text("postfix")["/etc/postfix/main.cf"]?.text.includes("myhostname = mail.anna.example\n"),
    );
  });

  test("tell the server of the stack's mailboxes, as a preview shows it", async () => {
    const mailboxes = { "anna@anna.example": { quota: 2048, aliases: ["info@anna.example"] } };
    const found = await serverWith({ mailboxes: JSON.stringify(mailboxes) });
    const { stdin } = found.named("mail-host-users").inputs;
    assert.equal(isSecret(stdin), false);
    const { files } = z
      .looseObject({ files: z.record(z.string(), z.looseObject({ text: z.string() })) })
      .parse(parse(String(stdin)));
    const accounts: unknown = JSON.parse(files["/etc/mailfruit/accounts.json"]?.text ?? "");
    const expected = {
      mailboxes: { "anna@anna.example": { quota_mib: 2048 } },
      aliases: { "info@anna.example": ["anna@anna.example"] },
    };
    assert.partialDeepStrictEqual(accounts, expected);
  });

  test("have their packages installed all at once, each named once", async () => {
    const stdin = String((await serverWith()).named("mail-host-packages").inputs.stdin);
    const installed = (/^packages="(.*)"$/m.exec(stdin)?.[1] ?? "").split(" ");
    const manifest = z.looseObject({ packages: z.array(z.string()).default([]) });
    const wanted = [
      ...["system", "volume", "storage", "tls", "users", "postfix", "dovecot", "check"],
    ].flatMap(
      (name) =>
        manifest.parse(parse(readFileSync(join(files, name, "role.yaml"), "utf8"))).packages,
    );
    assert.deepEqual(installed, [...new Set(wanted)].sort());
  });

  test("are proved again after a change of any of them, and not otherwise", async () => {
    const proof = async (texts: Record<string, string>) => {
      const { create, stdin } = (await serverWith(texts)).named("mail-host-prove").inputs;
      return `${create} < ${stdin}`;
    };
    const before = await proof({});
    assert.equal(await proof({}), before);
    assert.notEqual(await proof({ adminEmail: "bert@elsewhere.example" }), before);
    const changed = await proof({ inboundTls: "opportunistic" });
    assert.notEqual(changed.split(" < ")[1], before.split(" < ")[1]);
    assert.match(before, /^\/usr\/local\/sbin\/mailfruit check --inbound-tls required < /);
    assert.match(changed, / --inbound-tls opportunistic < /);
  });
});

suite("secrets", () => {
  test("stand nowhere in plain: no private key and nothing made of one", async () => {
    // The tls provider's own inputs: what the state has of them is encrypted by the provider's schema.
    for (const texts of settingsOfEachKind)
      for (const { name, inputs } of (await serverWith(texts)).all)
        for (const text of openTexts(inputs)) assert.ok(!text.includes(canary), name);
  });

  test("of the user for trying things out are a password of its own that only standard input carries", async () => {
    const found = await serverWith({ debug: "true" });
    const { testUser } = found.server;
    assert.ok(testUser);
    const user = z
      .object({ address: z.string(), password: z.string() })
      .parse(await resolved(testUser));
    assert.equal(user.address, "test@anna.example");
    assert.match(user.password, /^[\w-]{20}$/);
    const { inputs } = found.named("mail-host-test-user");
    assert.equal(plain(inputs.stdin), user.password);
    const everywhere = found.all.flatMap((each) => openTexts(each.inputs)).join("\n");
    assert.ok(!everywhere.includes(user.password));
  });
});

suite("debug", () => {
  test("brings a CA of the stack's own and a test user; without it there is neither", async () => {
    const difference = async (texts: Record<string, string>) => {
      const found = await serverWith(texts);
      const kinds = found.kinds();
      return [kinds.LocallySignedCert ?? 0, kinds.CertRequest ?? 0, found.server.testUser !== null];
    };
    assert.deepEqual(await difference({ debug: "true" }), [1, 1, true]);
    assert.deepEqual(await difference({}), [0, 0, false]);
  });

  test("gives out the CA, and not the server's own certificate, to be trusted", async () => {
    const { server } = await serverWith({ debug: "true" });
    assert.equal(await resolved(server.ca), "certificate mail-tls-ca\n");
  });
});

test("a first preview shows every resource that the first up makes: none hides behind an unknown value", async () => {
  for (const texts of [...settingsOfEachKind, { ...existing, debug: "true" }]) {
    const list = ({ all }: Resources) => all.map(({ type, name }) => `${type} ${name}`).sort();
    assert.deepEqual(
      list(await serverWith(texts, { preview: true })),
      list(await serverWith(texts)),
    );
  }
});

test("all resources hang below the mail server", async () => {
  const { all } = await serverWith({ debug: "true" });
  const urns = new Set(all.map(({ urn }) => urn));
  for (const { name, type, parent } of all)
    assert.ok(type === "mailfruit:index:MailServer" || urns.has(parent), name);
});
