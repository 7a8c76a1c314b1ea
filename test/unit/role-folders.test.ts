import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { suite, test } from "node:test";
import * as pulumi from "@pulumi/pulumi";
import {
  type OnionIdentity,
  type OnionNames,
  onionIdentity,
  servedNames,
} from "../../components/onion.ts";
import { clientSettings } from "../../components/outputs.ts";
import { type RoleFolder, readRoleFolder, renderRole } from "../../components/role.ts";
import * as check from "../../components/roles/check.ts";
import * as clock from "../../components/roles/clock.ts";
import * as dovecot from "../../components/roles/dovecot.ts";
import * as downloads from "../../components/roles/downloads.ts";
import * as gateway from "../../components/roles/gateway.ts";
import * as hidden from "../../components/roles/hidden.ts";
import * as mirror from "../../components/roles/mirror.ts";
import * as onion from "../../components/roles/onion.ts";
import * as onionDovecot from "../../components/roles/onion-dovecot.ts";
import * as onionMail from "../../components/roles/onion-mail.ts";
import * as onionSsh from "../../components/roles/onion-ssh.ts";
import * as onionTls from "../../components/roles/onion-tls.ts";
import * as postfix from "../../components/roles/postfix.ts";
import * as smarthost from "../../components/roles/smarthost.ts";
import * as storage from "../../components/roles/storage.ts";
import * as system from "../../components/roles/system.ts";
import * as tls from "../../components/roles/tls.ts";
import * as torRole from "../../components/roles/tor.ts";
import * as users from "../../components/roles/users.ts";
import * as volume from "../../components/roles/volume.ts";
import { checkNames, placeholders, readTemplate } from "../../components/template.ts";
import type { TorSettings } from "../../settings/tor.ts";
import { parseSettings, type Settings } from "../../settings.ts";
import { defaults } from "./defaults.ts";
import { applyCannotRun, asServerReads } from "./server/apply.ts";
import { missing } from "./server/python.ts";

const filesDir = join(import.meta.dirname, "..", "..", "files");
const folderNames = readdirSync(filesDir).filter((name) => name !== "apply");

/** Whose texts are sent as secrets. */
const secretRoles = ["tls", "onion", "onion-tls", "smarthost"];

const settingsOf = (texts: Record<string, string>) => {
  const given = { mailDomain: "anna.example", adminEmail: "anna@elsewhere.example", ...texts };
  const full = Object.entries(given).map(([name, text]) => [`mailfruit:${name}`, text]);
  return parseSettings(Object.fromEntries(full), { defaults });
};

const device = "/dev/disk/by-id/scsi-0DO_Volume_mail-mail-1a2b3c";
const mailVolume = { device, size: 10 };
const mounted = {
  description: "a volume of 10 GiB",
  holder: device,
  startedBy: "multi-user.target",
};
const volumeOf = { device, encrypted: "false" };
const material = { key: "KEY-CANARY\n", chain: "CHAIN\n", ca: "CA\n" };
const outputs = {
  key: pulumi.secret(material.key),
  publicKey: pulumi.output("PUBLIC\n"),
  chain: pulumi.output(material.chain),
  ca: pulumi.output(material.ca),
};

/** Every role with its values, for some settings. */
async function rolesFor(settings: ReturnType<typeof settingsOf>) {
  const { key, chain, ca } = tls.variables(outputs);
  assert.deepEqual([key, chain, ca], [outputs.key, outputs.chain, outputs.ca]);
  assert.deepEqual(storage.variables(mailVolume, false), mounted);
  assert.deepEqual(volume.variables(mailVolume, false), volumeOf);
  const identity = onionIdentity(pulumi.output("seed"), { users: 0, ssh: 0, smtp: 0 });
  const { tor } = settings;
  const services = servedNames(tor, identity);
  const values: [RoleFolder, Record<string, pulumi.Input<string>>][] = [
    ...(tor?.managed ? torRolesFor(tor, identity) : []),
    ...outwardFor(settings),
    ...(tor ? [[downloads.folder, downloads.variables(tor)] satisfies Row] : []),
    [system.folder, system.variables(settings)],
    [volume.folder, volumeOf],
    [storage.folder, mounted],
    [tls.folder, material],
    ...(settings.kind === "gateway"
      ? [[gateway.folder, gateway.variables(settings)] satisfies Row]
      : mailboxesFor(settings, services)),
    [check.folder, check.variables(settings)],
  ];
  return Promise.all(
    values.map(async ([folder, inputs]) => {
      const given = await valuesOf(inputs);
      return { folder, given, text: renderRole(folder, given) };
    }),
  );
}

const forClients = (settings: Settings) => ({
  settings: clientSettings(settings),
  ca: "CA",
  onionCa: null,
});

/** The roles of a server with mailboxes. */
const mailboxesFor = (settings: Settings, services: Partial<OnionNames>): Row[] => [
  [users.folder, { ...users.variables(settings), ...users.clientVariables(forClients(settings)) }],
  [postfix.folder, postfix.variables(settings, services)],
  [dovecot.folder, dovecot.variables(settings)],
];

type Row = [RoleFolder, Record<string, pulumi.Input<string>>];

/** The roles of a Tor that runs on the server. */
const torRolesFor = (tor: TorSettings, identity: OnionIdentity): Row[] => [
  [onion.folder, onion.variables(tor.services, identity)],
  [torRole.folder, torRole.variables(tor, identity.names, 22)],
  [mirror.folder, mirror.variables(tor.mirror)],
  [
    onionTls.folder,
    { usersKey: "KEY-CANARY", usersChain: "", smtpKey: "KEY-CANARY", smtpChain: "" },
  ],
  [onionDovecot.folder, onionDovecot.variables(tor)],
  [onionSsh.folder, onionSsh.variables(tor)],
  [hidden.folder, hidden.variables(tor)],
  [clock.folder, {}],
];

/** Those of mail to others. */
const outwardFor = (settings: Settings): Row[] => [
  ...(settings.tor?.managed
    ? [[onionMail.folder, onionMail.variables(settings, {})] satisfies Row]
    : []),
  [smarthost.folder, { hop: "[h]:1", user: "u", password: "KEY-CANARY" }],
];

const valuesOf = (inputs: Record<string, pulumi.Input<string>>) =>
  new Promise<Record<string, string>>((resolve) => {
    pulumi.output(inputs).apply((values) => resolve(values));
  });

const gatewaySettings = settingsOf({
  kind: "gateway",
  onionPeers: JSON.stringify({
    "anna.example": { address: "2s4yqjx5ul6okpp3f2gaunr2syex5jgbfpfvhxxbbjwnrsvbk5v3qbid.onion" },
  }),
});
const variants = [
  settingsOf({}),
  gatewaySettings,
  settingsOf({ debug: "true", inboundTls: "opportunistic" }),
  settingsOf({ serverHostname: "mx.eu.anna.example", adminEmail: "o'neil+x@anna.example" }),
];

suite("the roles", () => {
  test("are the folders of files/, each read without a complaint and known here", async () => {
    const roles = [...(await rolesFor(settingsOf({}))), ...(await rolesFor(gatewaySettings))];
    const known = new Set(roles.map(({ folder }) => folder.name));
    assert.deepEqual([...known].sort(), folderNames.sort());
    for (const name of folderNames) assert.doesNotThrow(() => readRoleFolder(name), name);
  });

  test("have a value for every name in their files, and no value too many", async () => {
    for (const settings of variants)
      for (const { folder, given } of await rolesFor(settings)) {
        checkNames([...folder.files.values()], Object.keys(given), folder.name);
        assert.ok(Object.values(given).every((value) => typeof value === "string"));
      }
  });

  test("come out with no name left in their texts", async () => {
    for (const settings of variants)
      for (const { folder, text } of await rolesFor(settings))
        assert.deepEqual(placeholders({ origin: folder.name, text }), []);
  });

  test("show no secret: the key is in the role of certificates, and that alone is sent as a secret", async () => {
    for (const { folder, text } of await rolesFor(settingsOf({})))
      assert.equal(/KEY-CANARY|KeyFile/.test(text), secretRoles.includes(folder.name), folder.name);
  });

  test("keep secret files from everybody but root", async () => {
    assert.equal(tls.folder.manifest.files["/etc/ssl/mail/key.pem"]?.mode, "0600");
    const loose = (await rolesFor(settingsOf({})))
      .flatMap(({ folder }) => Object.entries(folder.manifest.files))
      .filter(([, { mode }]) => /[2367]$/.test(mode) || /[2367].$/.test(mode));
    assert.deepEqual(loose, [], "nobody but the owner writes");
  });

  test("own each file and each directory once, so that no two of them fight over it", async () => {
    for (const settings of variants)
      for (const part of ["files", "directories"] as const) {
        const paths = (await rolesFor(settings)).flatMap(({ folder }) =>
          part === "files" ? [...folder.files.keys()] : Object.keys(folder.manifest.directories),
        );
        assert.equal(new Set(paths).size, paths.length, paths.join());
      }
  });

  test("name packages as Debian spells them, none twice", async () => {
    for (const { folder } of await rolesFor(settingsOf({}))) {
      const { packages } = folder.manifest;
      assert.equal(new Set(packages).size, packages.length);
      for (const name of packages) assert.match(name, /^[a-z0-9][a-z0-9+.-]+$/);
    }
  });

  test("name units with their kind, and none without a package or file that brings it", async () => {
    for (const { folder } of await rolesFor(settingsOf({})))
      for (const unit of Object.keys(folder.manifest.units))
        assert.match(unit, /^[a-z0-9@-]+\.(service|timer|mount|socket)$/);
  });

  test("bring files that the server would read: no editor's leftovers, every one with a final newline", async () => {
    for (const { folder } of await rolesFor(settingsOf({})))
      for (const [path, { text }] of folder.files) {
        assert.doesNotMatch(path, /(~|\.swp|\.orig|\.bak|\.DS_Store)$/);
        assert.ok(text.endsWith("\n") || /^\{\{\w+\}\}$/.test(text), path);
        assert.ok(!text.includes("\r"), path);
      }
  });

  test("arrive at the server as they are", { skip: applyCannotRun }, async () => {
    for (const { folder, given, text } of await rolesFor(settingsOf({ debug: "true" }))) {
      const read = JSON.stringify(asServerReads(text));
      for (const value of Object.values(given))
        assert.ok(read.includes(JSON.stringify(value).slice(1, -1)), folder.name);
    }
  });
});

suite("settings reach the server", () => {
  const textOf = async (name: string, settings: ReturnType<typeof settingsOf>) =>
    (await rolesFor(settings)).find(({ folder }) => folder.name === name)?.text ??
    assert.fail(name);

  test("mail without TLS is taken on port 25 only where the administrator wants that", async () => {
    assert.match(
      await textOf("postfix", settingsOf({})),
      /^ *smtpd_tls_security_level = encrypt$/m,
    );
    const loose = await textOf("postfix", settingsOf({ inboundTls: "opportunistic" }));
    assert.match(loose, /^ *smtpd_tls_security_level = may$/m);
    assert.equal(
      loose.match(/smtpd_tls_security_level=encrypt/g)?.length,
      4,
      "both submission ports, also by onion",
    );
  });

  /** What `mailfruit sync` reads. */
  const accounts = (texts: Record<string, string>) =>
    JSON.parse(users.variables(settingsOf(texts)).accounts);

  test("the addresses that every domain must have lead to the administrator", async () => {
    const { domains, aliases, debugUsers } = accounts({});
    assert.deepEqual(domains, ["anna.example"]);
    assert.deepEqual(Object.keys(aliases), [
      ...["postmaster", "abuse", "hostmaster", "webmaster"].map((name) => `${name}@anna.example`),
      ...["root", "postmaster"].map((name) => `${name}@mail.anna.example`),
    ]);
    for (const destination of Object.values(aliases))
      assert.deepEqual(destination, ["anna@elsewhere.example"]);
    assert.deepEqual(debugUsers, []);
  });

  test("an administrator who is postmaster gets no alias that leads to itself", async () => {
    for (const adminEmail of ["postmaster@anna.example", "Postmaster@Anna.example"]) {
      const { aliases } = accounts({ adminEmail });
      assert.equal(aliases["postmaster@anna.example"], undefined);
      assert.deepEqual(aliases["abuse@anna.example"], [adminEmail]);
    }
  });

  test("a user for trying things out is there with debug only", async () => {
    assert.equal(users.testAddress(settingsOf({})), null);
    assert.equal(users.testAddress(settingsOf({ debug: "true" })), "test@anna.example");
    assert.deepEqual(accounts({ debug: "true" }).debugUsers, ["test@anna.example"]);
  });

  test("the machine knows its full and its short name", async () => {
    const text = await textOf("system", settingsOf({ serverHostname: "mx.eu.anna.example" }));
    assert.match(text, /^ *127\.0\.1\.1 mx\.eu\.anna\.example mx$/m);
  });

  test("an administrator's address can't break out of apt's configuration", async () => {
    const text = await textOf("system", settingsOf({ adminEmail: "o'neil+x@anna.example" }));
    assert.match(text, /^ *Unattended-Upgrade::Mail "o'neil\+x@anna\.example";$/m);
  });
});

test("an encrypted volume is mounted when it has been opened, and nobody reboots the server at night", async () => {
  const { holder, startedBy } = storage.variables(mailVolume, true);
  assert.deepEqual([holder, startedBy], ["/dev/mapper/mail", "dev-mapper-mail.device"]);
  const reboots = (text: string) =>
    system.variables(settingsOf({ encryptVolume: text })).automaticReboot;
  assert.deepEqual([reboots("true"), reboots("false")], ["false", "true"]);
});

suite("programs for the server", () => {
  const library = "users/usr/local/lib/mailfruit/accounts";
  const programs = [
    "apply/apply",
    "users/usr/local/sbin/mailfruit",
    "dovecot/usr/local/lib/mailfruit/quota-warning",
    "volume/usr/local/sbin/mail-volume",
    "onion/usr/local/lib/mailfruit/onion-folders",
    "onion-mail/usr/local/lib/mailfruit/onion-mail",
    ...readdirSync(join(filesDir, library)).map((name) => `${library}/${name}`),
  ];
  const scripts = ["apply/ready.sh", "apply/packages.sh"];

  test("have values for their names", async () => {
    checkNames(
      [readTemplate("apply/packages.sh")],
      ["packages", "units", "proxy"],
      "components/host.ts",
    );
    for (const path of ["apply/apply", "apply/ready.sh"])
      assert.deepEqual(placeholders(readTemplate(path)), []);
  });

  test("are Python that compiles", { skip: missing("/usr/bin/python3", "python3") }, () => {
    for (const path of programs) {
      const check = "import ast, sys; ast.parse(sys.stdin.buffer.read())";
      const done = spawnSync("/usr/bin/python3", ["-c", check], {
        input: readFileSync(join(filesDir, path)),
        encoding: "utf8",
      });
      assert.equal(done.status, 0, `${path}: ${done.stderr}`);
      assert.ok(statSync(join(filesDir, path)).size > 0);
    }
  });

  test("are shell without a shellcheck complaint", {
    skip: missing("shellcheck", "shellcheck"),
  }, () => {
    const paths = scripts.map((path) => join(filesDir, path));
    const done = spawnSync("shellcheck", paths, { encoding: "utf8" });
    assert.equal(done.status, 0, done.stdout);
  });
});
