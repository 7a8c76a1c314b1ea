import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import * as pulumi from "@pulumi/pulumi";
import { parse } from "yaml";
import { z } from "zod";
import {
  fields,
  type Problem,
  parseSettings,
  type Settings,
  SettingsError,
} from "../../settings.ts";
import { declared, defaults } from "./defaults.ts";
import { randomNumbers } from "./random.ts";

const root = join(import.meta.dirname, "..", "..");
const key = "-----BEGIN OPENSSH PRIVATE KEY-----\nc2VjcmV0\n-----END OPENSSH PRIVATE KEY-----\n";
const hostKey = `ssh-ed25519 ${"A".repeat(68)}`;

const minimal = { mailDomain: "anna.example", adminEmail: "anna@elsewhere.example" };
const existing = {
  ...minimal,
  machine: "existing",
  address: "192.0.2.7",
  sshHostKey: hostKey,
  sshPrivateKey: key,
};

/** Settings of short names, as the engine gives them: with the defaults, and the private key secret. */
function read(
  texts: Record<string, string>,
  isSecret = (name: string): boolean => name === "mailfruit:sshPrivateKey",
): Settings {
  const full = Object.entries({ ...defaults, ...texts }).map(([name, text]) => [
    name.includes(":") ? name : `mailfruit:${name}`,
    text,
  ]);
  return parseSettings(Object.fromEntries(full), { isSecret });
}

function problemsOf(texts: Record<string, string>, isSecret?: (name: string) => boolean) {
  try {
    read(texts, isSecret);
  } catch (error) {
    if (error instanceof SettingsError) return error;
    throw error;
  }
  return assert.fail("the settings were taken");
}

/** The only problem of the minimal settings with these added. */
function problem(texts: Record<string, string>): Problem {
  const { problems } = problemsOf({ ...minimal, ...texts });
  assert.equal(problems.length, 1, problems.map(({ key }) => key).join());
  const [only] = problems;
  assert.ok(only);
  return only;
}

test("a mail domain and an administrator are all that a droplet needs", () => {
  assert.deepEqual(read(minimal), {
    kind: "mail",
    mailDomain: "anna.example",
    serverHostname: "mail.anna.example",
    adminEmail: "anna@elsewhere.example",
    debug: false,
    inboundTls: "required",
    dns: "domain",
    encryptVolume: false,
    mailboxes: [],
    profile: "casual",
    tor: {
      managed: true,
      proxy: { host: "127.0.0.1", port: 9050 },
      bridges: [],
      extra: [],
      mirror: "onion",
      services: [
        { name: "users", clients: {}, rotation: 0 },
        { name: "ssh", clients: {}, rotation: 0 },
        { name: "smtp", clients: {}, rotation: 0 },
      ],
      onionOnly: "false",
      seed: null,
      secretLines: false,
    },
    peers: [],
    smarthost: null,
    gatewayClient: null,
    machine: {
      kind: "droplet",
      region: "fra1",
      size: "s-1vcpu-2gb",
      image: "debian-13-x64",
      backups: false,
      mailVolumeSize: 10,
    },
  });
});

test("an existing machine needs its address, host key and private key", () => {
  const { machine } = read({ ...existing, address6: "2001:db8::7", sshPort: "2222" });
  assert.ok(machine.kind === "existing");
  const { sshPrivateKey: _, ...rest } = machine;
  assert.deepEqual(rest, {
    kind: "existing",
    address: "192.0.2.7",
    address6: "2001:db8::7",
    mailDevice: null,
    sshPort: 2222,
    sshUser: "root",
    sshHostKey: hostKey,
  });
});

test("the private key is a secret from the moment it is read", async () => {
  const { machine } = read(existing);
  assert.ok(machine.kind === "existing");
  assert.equal(await pulumi.isSecret(machine.sshPrivateKey), true);
  assert.equal(JSON.stringify(machine).includes("c2VjcmV0"), false);
});

test("every setting stands in Pulumi.yaml with a default and a sentence, and nothing else does", () => {
  assert.deepEqual(Object.keys(declared).sort(), Object.keys(fields).sort());
  for (const [name, { description }] of Object.entries(declared))
    assert.match(description, /^[A-Z].*\.$/s, `${name}: a sentence`);
});

test("every default is a value that is taken, or empty where the setting must be given", () => {
  const { problems } = problemsOf({});
  assert.deepEqual(
    problems.map(({ key, message }) => `${key} ${message}`),
    ["mailfruit:mailDomain must be set", "mailfruit:adminEmail must be set"],
  );
});

test("the committed example stack is valid", () => {
  const text = readFileSync(join(root, "Pulumi.dev.yaml"), "utf8");
  const { config } = z.object({ config: z.record(z.string(), z.unknown()) }).parse(parse(text));
  const texts = Object.entries(config).map(([name, value]) => [name, String(value)]);
  assert.equal(read(Object.fromEntries(texts)).debug, true);
});

test("every example that a mending command shows is itself taken", () => {
  for (const [name, field] of Object.entries(fields)) {
    if (/^(<|"\$\()|…/.test(field.example) || "path" in field) continue;
    const text = field.example.replaceAll("'", "");
    assert.ok(field.type.safeParse(text).success, `${name}: ${field.example}`);
  }
});

const wrong: [name: string, texts: string[]][] = [
  ["mailDomain", ["Anna.example", "anna", "anna.example.", "-a.example", "a_b.example", "a..b"]],
  [
    "mailDomain",
    ["192.0.2.1", "anna.example/x", "$(id).example", "anna.example\n", " a.b", "ä.de"],
  ],
  ["mailDomain", [`${"a".repeat(64)}.example`, `${"a.".repeat(28)}example`]],
  ["serverHostname", ["mail", "Mail.anna.example", "mail anna.example", "-.anna.example"]],
  ["serverHostname", [`${"a".repeat(53)}.anna.example`]],
  [
    "adminEmail",
    ["anna", "anna@", "@b.example", 'a"b@c.example', "a@b.example\nX", "a b@c.example"],
  ],
  ["debug", ["yes", "True", "1", ""]],
  ["inboundTls", ["encrypt", "Required", ""]],
  ["encryptVolume", ["yes"]],
  ["dns", ["route53", ""]],
  ["machine", ["vm", ""]],
  ["region", ["", "FRA1", "fra1 ", "../x"]],
  ["size", ["", "s 1"]],
  ["image", ["", "debian/13"]],
  ["backups", ["daily"]],
  ["mailVolumeSize", ["-1", "1.5", "10GB", "16385", "", "1e3", "9".repeat(400), " 1"]],
  ["profile", ["mohammed", ""]],
  ["useTor", ["yes"]],
  ["manageTor", ["1"]],
  ["torProxyUrl", ["socks5://127.0.0.1:9050", "127.0.0.1:9050", "socks5h://127.0.0.1"]],
  ["torBridges", ["meek 192.0.2.1:443", "Bridge 192.0.2.1:443", "192.0.2.1"]],
  ["torrcExtra", ["SocksPort 0.0.0.0:9050", "HiddenServiceDir /tmp/x", "%include /x"]],
  ["torMirror", ["", "debian", "ftp://mirror.example"]],
  ["onionOnly", ["true", "imap"]],
  ["smarthost", ["smtp.example.net", "smtp://smtp.example.net:465", ":465"]],
];

test("a wrong value is refused with the setting's name, the value, and the command that sets it", () => {
  for (const [name, texts] of wrong)
    for (const text of texts) {
      const found = problem({ [name]: text });
      assert.equal(found.key, `mailfruit:${name}`, text);
      assert.ok(found.mend.startsWith(`pulumi config set ${name} `), found.mend);
      assert.ok(
        found.message.startsWith("must be set") || found.message.includes(JSON.stringify(text)),
      );
    }
});

const wrongOfExisting: [name: string, texts: string[]][] = [
  ["address", ["mail.example", "192.0.2.256", "192.0.2.1/24", "::g"]],
  ["address6", ["192.0.2.1", "2001:db8::/64"]],
  ["mailDevice", ["/dev/sdb", "/dev/disk/by-id/../../sda", "/dev/disk/by-id/a b"]],
  ["sshPort", ["0", "65536", "ssh", ""]],
  ["sshUser", ["", "Root", "root;id", "a b", "-x"]],
  [
    "sshHostKey",
    ["AAAA", "ssh-ed25519", `${hostKey}\nx`, `mail.example ${hostKey}`, "ssh-dss AAAA"],
  ],
  ["sshPrivateKey", ["ssh-ed25519 AAAA", "-----BEGIN OPENSSH PRIVATE KEY-----\nc2VjcmV0\n"]],
];

test("a wrong value for an existing machine is refused likewise", () => {
  for (const [name, texts] of wrongOfExisting)
    for (const text of texts) {
      const { key: found, mend } = problem({ ...existing, [name]: text });
      assert.equal(found, `mailfruit:${name}`, text);
      assert.match(mend, new RegExp(`^pulumi config set (--secret )?${name} `));
    }
});

test("addresses of both kinds are taken alone and together", () => {
  for (const texts of [
    { address: "2001:db8::1" },
    { address: "192.0.2.1" },
    { address: "192.0.2.1", address6: "2001:db8::1" },
  ])
    assert.equal(read({ ...existing, ...texts }).machine.kind, "existing");
});

test("a misspelt setting is answered with the one that was meant", () => {
  const found = problem({ mailDomian: "anna.example" });
  assert.equal(found.message, "there is no such setting; did you mean mailfruit:mailDomain?");
  assert.equal(
    found.mend,
    "pulumi config set mailDomain example.org && pulumi config rm mailfruit:mailDomian",
  );
  assert.match(problem({ dsn: "manual" }).message, /did you mean mailfruit:dns\?/);
  assert.match(problem({ sshprivatekey: "x" }).mend, /set --secret sshPrivateKey </);
});

test("a setting that is like no other gets no far-fetched suggestion", () => {
  for (const name of ["relayhost", "foo", "a", "zzzz"]) {
    const found = problem({ [name]: "x" });
    assert.equal(found.message, "there is no such setting.");
    assert.equal(found.mend, `pulumi config rm mailfruit:${name}`);
  }
});

test("a misspelt namespace is answered with the key that was meant", () => {
  const ours = problem({ "mailfriut:mailDomain": "anna.example" });
  assert.match(ours.message, /namespace mailfriut; did you mean mailfruit:mailDomain\?/);
  assert.match(
    ours.mend,
    /^pulumi config set mailDomain .* && pulumi config rm mailfriut:mailDomain$/,
  );
  const provider = problem({ "digitalOcean:token": "t0ken" });
  assert.match(provider.message, /did you mean digitalocean:token\?/);
  assert.doesNotMatch(provider.message + provider.mend, /t0ken/);
});

test("the engine's and the providers' own configuration is left alone", () => {
  for (const name of ["pulumi:tags", "digitalocean:token", "command:x", "tls:proxy"])
    assert.equal(read({ ...minimal, [name]: "x" }).debug, false);
});

test("a hostname outside of the mail domain is refused with one that would do", () => {
  for (const name of ["mail.other.example", "xanna.example", "anna.example", "example"])
    assert.match(
      problemsOf({ ...minimal, serverHostname: name }).message,
      /pulumi config set serverHostname (mail\.anna\.example|mail\.example\.org)/,
    );
  assert.equal(
    problem({ serverHostname: "mail.other.example" }).mend,
    "pulumi config set serverHostname mail.anna.example",
  );
  assert.equal(
    read({ ...minimal, serverHostname: "a.b.anna.example" }).serverHostname,
    "a.b.anna.example",
  );
});

test("a server's name that Linux can't have is refused before a machine has it", () => {
  const mailDomain = `${"a".repeat(53)}.example`;
  assert.equal(mailDomain.length, 61);
  const found = problem({ mailDomain });
  assert.equal(found.mend, `pulumi config set serverHostname mx.${mailDomain}`);
  const mended = read({ ...minimal, mailDomain, serverHostname: `mx.${mailDomain}` });
  assert.equal(mended.serverHostname.length, 64);
});

test("settings of the other kind of machine are named instead of silently ignored", () => {
  const droplet = {
    region: "ams3",
    size: "s-2",
    image: "x",
    backups: "true",
    mailVolumeSize: "50",
  };
  for (const [name, text] of Object.entries(droplet)) {
    const found = problem({ ...existing, [name]: text });
    assert.equal(found.message, "means nothing where machine is existing");
    assert.equal(found.mend, `pulumi config rm ${name}`);
  }
  const own = {
    ...existing,
    address6: "2001:db8::1",
    mailDevice: "/dev/disk/by-id/disk",
    sshPort: "23",
    sshUser: "debian",
  };
  for (const name of [
    "address",
    "address6",
    "mailDevice",
    "sshPort",
    "sshUser",
    "sshHostKey",
    "sshPrivateKey",
  ] as const) {
    const found = problem({ [name]: own[name] });
    assert.equal(found.key, `mailfruit:${name}`);
    assert.equal(found.message, "means nothing where machine is droplet");
  }
});

test("encryption of an existing machine's mail wants a device for it", () => {
  const found = problem({ ...existing, encryptVolume: "true" });
  assert.equal(found.key, "mailfruit:mailDevice");
  assert.match(found.message, /must be set where encryptVolume is true/);
  const mailDevice = "/dev/disk/by-id/ata-DISK_1";
  const { encryptVolume, machine } = read({ ...existing, encryptVolume: "true", mailDevice });
  assert.ok(machine.kind === "existing");
  assert.deepEqual([encryptVolume, machine.mailDevice], [true, mailDevice]);
});

test("an existing machine without its address and keys is told all three", () => {
  const { problems } = problemsOf({ ...minimal, machine: "existing" });
  assert.deepEqual(
    problems.map(({ key, mend }) => [key, mend.split(" ").slice(0, 4).join(" ")]),
    [
      ["mailfruit:address", "pulumi config set address"],
      ["mailfruit:sshHostKey", "pulumi config set sshHostKey"],
      ["mailfruit:sshPrivateKey", "pulumi config set --secret"],
    ],
  );
});

test("a second address that isn't one of another kind is refused", () => {
  const found = problem({ ...existing, address: "2001:db8::1", address6: "2001:db8::2" });
  assert.equal(found.key, "mailfruit:address6");
  assert.equal(found.mend, "pulumi config rm address6");
});

test("a private key in plain text is refused, without showing it", () => {
  const error = problemsOf(existing, () => false);
  assert.equal(error.problems.length, 1);
  assert.match(error.message, /sshPrivateKey: is a secret and stands in plain text/);
  assert.match(error.message, /pulumi config set --secret sshPrivateKey </);
  assert.doesNotMatch(error.message, /c2VjcmV0/);
});

test("what is secret or a private key is never shown, in whichever setting it landed", () => {
  const canary = "canary-4711";
  const asHostKey = problemsOf({ ...existing, sshHostKey: key.replace("c2VjcmV0", canary) });
  assert.doesNotMatch(asHostKey.message, new RegExp(canary));
  const asPrivateKey = problemsOf({ ...existing, sshPrivateKey: canary }, () => false);
  assert.doesNotMatch(asPrivateKey.message, new RegExp(canary));
  const marked = problemsOf({ ...minimal, region: `${canary} X` }, () => true);
  assert.doesNotMatch(marked.message, new RegExp(canary));
  const misspelt = problemsOf({ ...minimal, sshPrivatKey: canary });
  assert.doesNotMatch(misspelt.message, new RegExp(canary));
});

test("all problems are reported together, each with its mending command below it", () => {
  const { message, problems } = problemsOf({
    mailDomian: "anna.example",
    "mailfriut:debug": "true",
    adminEmail: "anna",
    machine: "existing",
    address: "example",
    size: "s-8",
    serverHostname: "UPPER",
    mailVolumeSize: "ten",
  });
  assert.deepEqual(problems.map(({ key }) => key.replace("mailfruit:", "")).sort(), [
    ...["address", "adminEmail", "mailDomain", "mailDomian", "mailVolumeSize", "mailVolumeSize"],
    ...["mailfriut:debug", "serverHostname", "size", "sshHostKey", "sshPrivateKey"],
  ]);
  const lines = message.split("\n");
  assert.equal(lines[0], "11 problems in the stack's configuration; nothing was changed.");
  assert.equal(lines.length, 1 + 2 * 11);
  for (const line of lines.filter((_, index) => index > 0 && index % 2 === 0))
    assert.match(line, /^ {6}pulumi config (set|rm) /);
});

test("a mending command can be pasted into a shell, whatever a key contains", () => {
  const { mend } = problem({ "mailfruit:x;touch '/tmp/x'": "1" });
  assert.equal(mend, "pulumi config rm 'mailfruit:x;touch '\\''/tmp/x'\\'''");
});

test("no text whatever gets another answer than settings or their problems, and the private key stays hidden", () => {
  const random = randomNumbers(20261123);
  const words = [
    ...["", " ", "\n", "true", "false", "existing", "droplet", "anna.example", "mail.anna.example"],
    ...["192.0.2.1", "::1", hostKey, "-----BEGIN PRIVATE KEY-----", "\0", "\u{1f34e}", "é", "{}"],
    ...["[1]", "null", "%s", "$(id)", "'", '"', "\\", "__proto__", "constructor", ":", "10", "-1"],
  ];
  const word = () => words[random(words.length)] ?? "";
  const text = () => Array.from({ length: random(4) }, word).join("");
  const names = [...Object.keys(fields), "__proto__", "constructor", "toString", "hasOwnProperty"];
  for (let round = 0; round < 3000; round++) {
    const texts: Record<string, string> = Object.create(null);
    for (let count = random(12); count > 0; count--) {
      const known = random(3) > 0 ? (names[random(names.length)] ?? "") : text();
      texts[random(4) > 0 ? `mailfruit:${known}` : `${text()}:${known}`] = text();
    }
    const canary = `canary${round}`;
    const place = random(2)
      ? "mailfruit:sshPrivateKey"
      : `mailfruit:${names[random(names.length)]}`;
    texts[place] = `${random(2) ? "-----BEGIN OPENSSH PRIVATE KEY-----\n" : ""}${canary}`;
    try {
      parseSettings(texts, { defaults, isSecret: (name) => name === place && random(2) === 1 });
    } catch (error) {
      assert.ok(error instanceof SettingsError, `${JSON.stringify(texts)}: ${error}`);
      if (place.endsWith(":sshPrivateKey")) assert.ok(!error.message.includes(canary));
    }
  }
});
