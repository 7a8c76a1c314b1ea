// The stand-in plugin for @pulumi/digitalocean, through its own process and gRPC, as a client of
// the sandbox's API over a machine that only remembers. That real guests boot is not shown here.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { after, before, beforeEach, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { Api } from "./providers/api.ts";
import {
  InitFailed,
  Plugin,
  type PluginResource,
  type Properties,
  secret,
  unknown,
} from "./providers/plugin.ts";

const sha1 = (text: string) => createHash("sha1").update(text).digest("hex");

describe("the digitalocean plugin", { timeout: 60_000 }, () => {
  let api: Api;
  let plugin: Plugin;
  const of = (type: string): PluginResource =>
    plugin.of(`digitalocean:index/${type.charAt(0).toLowerCase()}${type.slice(1)}:${type}`);

  before(async () => {
    api = await Api.start();
    plugin = await Plugin.start("digitalocean", api.env);
    await plugin.configure();
  });
  after(async () => {
    assert.equal(await plugin.stop(), 0, "the plugin ends with its engine");
    await api.stop();
  });
  beforeEach(() => {
    api.answers.length = 0;
  });

  const dropletInputs = {
    name: "mail.example.org",
    image: "debian-13-x64",
    size: "s-1vcpu-1gb",
    region: "fra1",
  };
  const newDroplet = (changes: Properties = {}) =>
    of("Droplet").create({ ...dropletInputs, ...changes });

  describe("a droplet", () => {
    test("is made with what the program says and is there when it is active", async () => {
      const made = await newDroplet({ userData: "#cloud-config\n", ipv6: true, tags: ["mail"] });
      const guest = api.machine.guests.get(Number(made.id));
      assert.equal(guest?.name, "mail.example.org");
      assert.equal(guest?.userData, "#cloud-config\n");
      assert.equal(made.state.status, "active");
      assert.equal(made.state.ipv4Address, guest?.ipv4);
      assert.equal(made.state.ipv6Address, guest?.ipv6);
      assert.equal(made.state.userData, sha1("#cloud-config\n"), "only its hash is kept");
      assert.equal(made.state.dropletUrn, `do:droplet:${made.id}`);
      await of("Droplet").delete(made);
      assert.equal(api.machine.guests.has(Number(made.id)), false);
    });

    test("without a name gets one of the resource's, which stays", async () => {
      const { name: _, ...nameless } = dropletInputs;
      const inputs = await of("Droplet").checked(nameless);
      assert.match(String(inputs.name), /^it-[0-9a-f]{7}$/);
      assert.deepEqual(await of("Droplet").checked(nameless, inputs), inputs);
      const named = await of("Droplet").checked(dropletInputs);
      assert.equal(named.name, "mail.example.org");
      const freed = await of("Droplet").checked(nameless, named);
      assert.match(String(freed.name), /^it-/, "a name that the program gave is not kept");
    });

    test("has the real plugin's defaults in its inputs", async () => {
      const inputs = await of("Droplet").checked(dropletInputs);
      assert.deepEqual(inputs, {
        ...dropletInputs,
        backups: false,
        gracefulShutdown: false,
        ipv6: false,
        monitoring: false,
        resizeDisk: true,
        __defaults: ["backups", "gracefulShutdown", "ipv6", "monitoring", "resizeDisk"],
      });
    });

    const full: Properties = {
      ...dropletInputs,
      userData: "a",
      ipv6: true,
      sshKeys: ["1", "2"],
      tags: ["a", "b"],
    };
    const state: Properties = {
      ...full,
      userData: sha1("a"),
      backups: false,
      gracefulShutdown: false,
      monitoring: false,
      resizeDisk: true,
      vpcUuid: "v",
      volumeIds: ["x"],
      publicNetworking: true,
      privateNetworking: true,
      ipv6Address: "fd00::1",
    };
    const differences: [string, Properties, Record<string, string>][] = [
      ["nothing", {}, {}],
      ["the order of keys and tags", { sshKeys: ["2", "1"], tags: ["b", "a"] }, {}],
      ["capitals in the region and the size", { region: "FRA1", size: "S-1VCPU-1GB" }, {}],
      ["the size", { size: "s-2vcpu-2gb" }, { size: "update" }],
      ["the name", { name: "mx.example.org" }, { name: "update" }],
      ["a tag", { tags: ["a", "c"] }, { "tags[1]": "update" }],
      ["backups", { backups: true }, { backups: "update" }],
      ["the image", { image: "debian-12-x64" }, { image: "update&replace" }],
      ["the region", { region: "ams3" }, { region: "update&replace" }],
      ["user_data", { userData: "b" }, { userData: "update&replace" }],
      ["a key", { sshKeys: ["1", "3"] }, { "sshKeys[1]": "update&replace" }],
      ["monitoring", { monitoring: true }, { monitoring: "update&replace" }],
      ["IPv6 turned off", { ipv6: false }, { ipv6: "update&replace" }],
    ];
    for (const [what, changes, detailed] of differences) {
      const replaced = Object.values(detailed).some((kind) => kind.endsWith("replace"));
      const outcome = replaced
        ? "replaces it"
        : detailed && Object.keys(detailed).length > 0
          ? "updates it"
          : "changes nothing";
      test(`${what}: a difference ${outcome}`, async () => {
        const diff = await of("Droplet").diff(state, { ...full, ...changes });
        assert.deepEqual(diff.detailed, detailed);
        assert.equal(diff.deleteFirst, replaced, "its name is taken until the old one is gone");
        assert.equal(diff.any, Object.keys(detailed).length > 0);
      });
    }

    test("whose differences the program ignores is left alone", async () => {
      const diff = await of("Droplet").diff(state, { ...full, userData: "b" }, ["userData"]);
      assert.deepEqual(diff.detailed, {});
    });

    test("renamed by somebody else keeps that name where the program ignores it", async () => {
      const made = await newDroplet({ tags: ["old"] });
      const drifted = { ...made, state: { ...made.state, name: "drifted.example.org" } };
      const wanted = { ...dropletInputs, tags: ["new"] };
      const ignoreChanges = ["name"];
      const preview = await of("Droplet").update(drifted, wanted, { preview: true, ignoreChanges });
      assert.equal(preview.state.name, "drifted.example.org");
      assert.deepEqual(preview.state.tags, ["new"]);
      const change = () => of("Droplet").update(drifted, wanted, { ignoreChanges });
      const sent = await api.during(change);
      assert.ok(!sent.includes(`POST /v2/droplets/${made.id}/actions`), String(sent));
      assert.ok(sent.includes("POST /v2/tags/new/resources"), String(sent));
      await of("Droplet").delete(made);
    });

    test("is powered off for a new size, and on again", async () => {
      const made = await newDroplet();
      const from = api.machine.calls.length;
      const { state } = await of("Droplet").update(made, { ...dropletInputs, size: "s-2vcpu-2gb" });
      assert.deepEqual(
        api.machine.calls.slice(from).filter((call) => /^power/.test(call)),
        [`powerOff ${made.id} hard`, `powerOn ${made.id}`],
      );
      assert.equal(state.size, "s-2vcpu-2gb");
      assert.equal(state.memory, 2048);
      await of("Droplet").delete(made);
    });

    test("is powered on again when a new size is refused, and the reason is told", async () => {
      const made = await newDroplet();
      const change = of("Droplet").update(made, {
        ...dropletInputs,
        name: "x.example.org",
        size: "s-none",
      });
      await assert.rejects(change, (error: unknown) => {
        assert.ok(error instanceof InitFailed);
        assert.match(error.message, /Error resizing droplet .*: 422 .*size/i);
        assert.equal(error.state.size, "s-1vcpu-1gb", "what is there is kept, not what was wanted");
        return true;
      });
      assert.equal(api.machine.guests.get(Number(made.id))?.on, true);
      await of("Droplet").delete(made);
    });

    test("is renamed, tagged, backed up and given IPv6 in place", async () => {
      const made = await newDroplet({ tags: ["old"] });
      const wanted = {
        ...dropletInputs,
        name: "mx.example.org",
        tags: ["new"],
        backups: true,
        ipv6: true,
      };
      const preview = await of("Droplet").update(made, wanted, { preview: true });
      assert.equal(preview.state.ipv6Address, unknown);
      assert.equal(preview.state.ipv4Address, made.state.ipv4Address);
      const updated = await of("Droplet").update(made, wanted);
      assert.equal(updated.state.name, "mx.example.org");
      assert.deepEqual(updated.state.tags, ["new"]);
      assert.equal(updated.state.backups, true);
      assert.match(String(updated.state.ipv6Address), /^fd/);
      await of("Droplet").delete(updated);
    });

    test("that cannot become active stays in the state with the reason", async () => {
      api.machine.broken.add("createGuest");
      try {
        await assert.rejects(
          of("Droplet").create(dropletInputs, { timeout: 1 }),
          (error: unknown) => {
            assert.ok(error instanceof InitFailed, String(error));
            assert.match(error.id, /^\d+$/);
            assert.match(
              error.message,
              /creating urn:.*Error waiting for droplet \(\d+\) to become ready/,
            );
            return true;
          },
        );
      } finally {
        api.machine.broken.clear();
      }
    });

    test("that is gone is forgotten by a refresh and no obstacle to its deletion", async () => {
      const made = await newDroplet();
      await api.send("DELETE", `/v2/droplets/${made.id}`);
      while ((await api.send("GET", `/v2/droplets/${made.id}`)).status !== 404);
      assert.equal(await of("Droplet").read(made.id, made), null);
      await of("Droplet").delete(made);
    });

    test("whose tags the API gives in another order is not changed by a refresh", async () => {
      const made = await newDroplet({ tags: ["b", "a"] });
      const state = { ...made.state, tags: ["a", "b"] };
      const found = await of("Droplet").read(made.id, { state, inputs: made.inputs });
      assert.deepEqual(found?.inputs, made.inputs);
      const preview = await of("Droplet").update({ ...made, state }, made.inputs, {
        preview: true,
      });
      assert.deepEqual(preview.state.tags, ["a", "b"]);
      await of("Droplet").delete(made);
    });

    test("is imported by its id, with the inputs that a program needs", async () => {
      const made = await newDroplet({ tags: ["mail"] });
      const found = await of("Droplet").read(made.id);
      assert.equal(found?.inputs.image, "debian-13-x64");
      assert.equal(found?.inputs.size, "s-1vcpu-1gb");
      assert.deepEqual(found?.inputs.tags, ["mail"]);
      assert.deepEqual(
        (await of("Droplet").diff(found?.state ?? {}, found?.inputs ?? {})).detailed,
        {},
      );
      await of("Droplet").delete(made);
    });

    test("with secret user_data keeps it secret", async () => {
      const made = await newDroplet({ userData: secret("canary") });
      assert.deepEqual(made.inputs.userData, secret("canary"));
      assert.deepEqual(made.state.userData, secret(sha1("canary")));
      await of("Droplet").delete(made);
    });

    test("in a preview sends no request and has unknown addresses", async () => {
      const sent = await api.during(async () => {
        const inputs = { ...dropletInputs, sshKeys: [unknown] };
        const { state } = await of("Droplet").create(inputs, { preview: true });
        assert.equal(state.ipv4Address, unknown);
        assert.equal(state.vpcUuid, unknown);
        assert.equal(state.size, "s-1vcpu-1gb");
        assert.deepEqual(state.sshKeys, [unknown]);
      });
      assert.deepEqual(sent, []);
    });
  });

  describe("inputs", () => {
    const refusals: [string, string, Properties, RegExp][] = [
      [
        "an unknown property",
        "Droplet",
        { ...dropletInputs, imgae: "x" },
        /Invalid or unknown key\. Examine values at 'it\.imgae'/,
      ],
      [
        "a missing property",
        "Droplet",
        { image: "debian-13-x64" },
        /Missing required property 'size'/,
      ],
      [
        "a wrong type",
        "VolumeAttachment",
        { dropletId: "1", volumeId: "v" },
        /expected number type, got string type.*it\.dropletId/,
      ],
      [
        "an unknown property of a rule",
        "Firewall",
        { inboundRules: [{ protocol: "tcp", ports: "22" }] },
        /it\.inboundRules\[0\]\.ports/,
      ],
      [
        "a wrong protocol",
        "Firewall",
        { inboundRules: [{ protocol: "tpc", portRange: "22" }] },
        /"tcp" "udp" "icmp".*got tpc/,
      ],
      ["a wrong record type", "DnsRecord", { domain: "a", type: "TLSA", value: "x" }, /got TLSA/],
      [
        "a port out of range",
        "DnsRecord",
        { domain: "a", type: "SRV", value: "x", port: 65536 },
        /\(0 - 65535\), got 65536/,
      ],
      ["a wrong tag", "Droplet", { ...dropletInputs, tags: ["a b"] }, /tags may contain/],
    ];
    for (const [what, type, inputs, message] of refusals) {
      test(`${what} is refused by name`, async () => {
        const { failures } = await of(type).check(inputs);
        assert.match(failures.join("\n"), message);
      });
    }

    test("a preview refuses what only several properties together make wrong", async () => {
      const rejects = (type: string, inputs: Properties, message: RegExp) =>
        assert.rejects(of(type).create(inputs, { preview: true }), message);
      await rejects("Firewall", { name: "f" }, /At least one rule must be specified/);
      await rejects(
        "Firewall",
        { inboundRules: [{ protocol: "tcp" }] },
        /`port_range` of inbound rules/,
      );
      await rejects(
        "DnsRecord",
        { domain: "a", type: "MX", value: "x." },
        /`priority` is required/,
      );
    });

    test("an unknown key of the configuration is refused by name", async () => {
      assert.match(
        String(await plugin.checkConfig({ tokne: "x" })),
        /`digitalocean:tokne` is not a valid/,
      );
      assert.deepEqual(await plugin.checkConfig({ token: "x", version: "4.80.1" }), []);
    });
  });

  describe("DNS", () => {
    let domain: Awaited<ReturnType<PluginResource["create"]>>;
    before(async () => {
      domain = await of("Domain").create({ name: "example.org" });
    });
    const record = (inputs: Properties) =>
      of("DnsRecord").create({ domain: "example.org", ...inputs });

    test("a domain and its records are served, each with its full name", async () => {
      assert.equal(domain.id, "example.org");
      assert.equal(domain.state.domainUrn, "do:domain:example.org");
      const a = await record({ name: "mail", type: "A", value: "10.0.0.1", ttl: 300 });
      assert.equal(a.state.fqdn, "mail.example.org");
      assert.deepEqual(api.machine.lookup("mail.example.org", "A"), ["10.0.0.1"]);
      const mx = await record({ name: "@", type: "MX", value: "mail.example.org.", priority: 10 });
      assert.equal(mx.state.fqdn, "example.org");
      assert.equal(mx.state.value, "mail.example.org.");
      const updated = await of("DnsRecord").update(mx, { ...mx.inputs, priority: 20 });
      assert.equal(updated.state.priority, 20);
      for (const made of [a, mx]) await of("DnsRecord").delete(made);
    });

    test("names and values that differ in writing only are no change", async () => {
      const state = {
        domain: "example.org",
        name: "mail",
        type: "A",
        value: "1.2.3.4",
        ttl: 1800,
        port: 0,
        fqdn: "x",
      };
      const same = { domain: "example.org", type: "A", value: "1.2.3.4" };
      const diff = async (inputs: Properties, old: Properties = state) =>
        (await of("DnsRecord").diff(old, inputs)).detailed;
      assert.deepEqual(await diff({ ...same, name: "mail" }), {}, "the API's TTL and zeros");
      assert.deepEqual(await diff({ ...same, name: "mail.example.org." }), {});
      assert.deepEqual(await diff({ ...same, name: "example.org." }, { ...state, name: "@" }), {});
      assert.deepEqual(await diff({ ...same, name: "mail", ttl: 60 }), { ttl: "update" });
      assert.deepEqual(await diff({ ...same, name: "mail", type: "TXT" }), {
        type: "update&replace",
      });
    });

    test("a record changed by somebody else is seen by a refresh and set back", async () => {
      const made = await record({ name: "@", type: "TXT", value: "v=spf1 mx -all" });
      const path = `/v2/domains/example.org/records/${made.id}`;
      assert.equal((await api.send("PUT", path, { type: "TXT", data: "drift" })).status, 200);
      const found = await of("DnsRecord").read(made.id, made);
      assert.equal(found?.inputs.value, "drift");
      const diff = await of("DnsRecord").diff(found?.state ?? {}, made.inputs);
      assert.deepEqual(diff.detailed, { value: "update" });
      await api.send("DELETE", path);
      assert.equal(await of("DnsRecord").read(made.id, made), null);
      await of("DnsRecord").delete(made);
    });

    test("a record is imported by its domain and id", async () => {
      const made = await record({ name: "www", type: "CNAME", value: "mail.example.org." });
      const found = await of("DnsRecord").read(`example.org,${made.id}`);
      assert.equal(found?.id, made.id);
      assert.equal(found?.inputs.value, "mail.example.org.");
      await of("DnsRecord").delete(made);
    });
  });

  describe("a firewall", () => {
    const rule = { protocol: "tcp", portRange: "25", sourceAddresses: ["0.0.0.0/0", "::/0"] };
    const icmp = { protocol: "icmp", sourceAddresses: ["0.0.0.0/0"] };

    test("is replaced as a whole by the API and not by the plugin", async () => {
      const droplet = await newDroplet();
      const inputs = { dropletIds: [Number(droplet.id)], inboundRules: [rule, icmp] };
      const made = await of("Firewall").create(inputs);
      assert.deepEqual(
        (await of("Firewall").diff(made.state, inputs)).any,
        true,
        "its name is new",
      );
      const named = { ...inputs, name: made.inputs.name ?? "" };
      assert.deepEqual((await of("Firewall").diff(made.state, named)).detailed, {});
      const reordered = {
        ...named,
        inboundRules: [icmp, { ...rule, sourceAddresses: ["::/0", "0.0.0.0/0"] }],
      };
      assert.deepEqual((await of("Firewall").diff(made.state, reordered)).detailed, {});
      const opened = { ...named, inboundRules: [rule, icmp, { ...rule, portRange: "993" }] };
      const diff = await of("Firewall").diff(made.state, opened);
      assert.deepEqual(diff.detailed, { "inboundRules[2]": "add" });
      const updated = await of("Firewall").update(made, opened);
      assert.equal(
        Array.isArray(updated.state.inboundRules) && updated.state.inboundRules.length,
        3,
      );
      await of("Firewall").delete(updated);
      await of("Firewall").delete(updated);
      await of("Droplet").delete(droplet);
    });

    test("gives `all` back as the program wrote it", async () => {
      const all = { ...rule, portRange: "all" };
      const made = await of("Firewall").create({ inboundRules: [all] });
      const diff = await of("Firewall").diff(made.state, { ...made.inputs });
      assert.deepEqual(diff.detailed, {});
      await of("Firewall").delete(made);
    });
  });

  describe("a volume", () => {
    const inputs = { region: "fra1", size: 10, initialFilesystemType: "ext4" };

    test("grows in place, never shrinks, and outlives its droplet", async () => {
      const droplet = await newDroplet();
      const volume = await of("Volume").create(inputs);
      assert.match(String(volume.state.name), /^it-[0-9a-f]{7}$/);
      const attached = { dropletId: Number(droplet.id), volumeId: volume.id };
      const attachment = await of("VolumeAttachment").create(attached);
      assert.equal(api.machine.volumes.get(volume.id)?.guest, Number(droplet.id));
      assert.ok(await of("VolumeAttachment").read(attachment.id, attachment));
      const grown = await of("Volume").update(volume, { ...volume.inputs, size: 20 });
      assert.equal(grown.state.size, 20);
      assert.equal(api.machine.volumes.get(volume.id)?.gigabytes, 20);
      const shrunk = of("Volume").diff(grown.state, { ...volume.inputs, size: 5 });
      await assert.rejects(shrunk, /can only be expanded and not shrunk/);
      await of("VolumeAttachment").delete(attachment);
      assert.equal(await of("VolumeAttachment").read(attachment.id, attachment), null);
      await of("VolumeAttachment").create(attached);
      const detach = `POST /v2/volumes/${volume.id}/actions`;
      const sent = await api.during(() => of("Droplet").delete(droplet));
      assert.ok(sent.includes(detach), "the droplet lets go of it before it goes");
      assert.equal(api.machine.volumes.get(volume.id)?.guest, null);
      await of("Volume").delete(volume);
      assert.equal(api.machine.volumes.has(volume.id), false);
    });

    test("that was detached since is no obstacle to its droplet's deletion", async () => {
      const droplet = await newDroplet();
      const volume = await of("Volume").create(inputs);
      const state = { ...droplet.state, volumeIds: [volume.id] };
      await of("Droplet").delete({ ...droplet, state });
      await of("Volume").delete(volume);
    });

    test("waits its turn while its droplet has something else to do", async () => {
      const droplet = await newDroplet();
      const volume = await of("Volume").create(inputs);
      const busy = { id: "unprocessable_entity", message: "Droplet already has a pending event." };
      const answer = () => Response.json(busy, { status: 422 });
      api.answers.push(
        { request: /^POST .*\/actions/, answer },
        { request: /^POST .*\/actions/, answer },
      );
      await of("VolumeAttachment").create({ dropletId: Number(droplet.id), volumeId: volume.id });
      assert.equal(api.machine.volumes.get(volume.id)?.guest, Number(droplet.id));
      await of("Droplet").delete(droplet);
      await of("Volume").delete(volume);
    });
  });

  test("a reserved address moves between droplets and stays when they go", async () => {
    const [one, other] = [await newDroplet(), await newDroplet()];
    const ip = await of("ReservedIp").create({ region: "fra1", dropletId: Number(one.id) });
    assert.equal(ip.id, ip.state.ipAddress);
    assert.equal(api.machine.reserved.get(ip.id), Number(one.id));
    const moved = await of("ReservedIp").update(ip, {
      region: "fra1",
      dropletId: Number(other.id),
    });
    assert.equal(api.machine.reserved.get(ip.id), Number(other.id));
    const freed = await of("ReservedIp").update(moved, { region: "fra1" });
    assert.equal(api.machine.reserved.get(ip.id), null);
    const assignment = await of("ReservedIpAssignment").create({
      ipAddress: ip.id,
      dropletId: Number(one.id),
    });
    assert.equal(api.machine.reserved.get(ip.id), Number(one.id));
    await of("ReservedIpAssignment").delete(assignment);
    for (const droplet of [one, other]) await of("Droplet").delete(droplet);
    await of("ReservedIp").delete(freed);
  });

  test("a key and a tag live and go", async () => {
    const publicKey =
      "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGPKSUTyzs1VwawRHBAiGmTCU26qcyqBAmBKH0Sg8P6q";
    const key = await of("SshKey").create({ publicKey: `${publicKey}\n` });
    assert.match(String(key.state.fingerprint), /^([0-9a-f]{2}:){15}[0-9a-f]{2}$/);
    const diff = await of("SshKey").diff(key.state, { ...key.inputs, publicKey });
    assert.deepEqual(diff.detailed, {});
    const renamed = await of("SshKey").update(key, { ...key.inputs, name: "other" });
    assert.equal(renamed.state.name, "other");
    await of("SshKey").delete(renamed);
    const tag = await of("Tag").create({ name: "mail" });
    assert.equal(tag.id, "mail");
    await of("Tag").delete(tag);
  });

  describe("the API", () => {
    test("errors are told with the request, the status and the API's own words", async () => {
      const inputs = { ...dropletInputs, size: "s-none" };
      await assert.rejects(of("Droplet").create(inputs), (error: Error) => {
        assert.match(
          error.message,
          /^Error creating droplet: POST http:\/\/127\.0\.0\.1:\d+\/v2\/droplets: 422 \(request "[0-9a-f-]+"\) \S/,
        );
        return true;
      });
    });

    test("that is busy or broken for a moment is asked again", async () => {
      const request = /^POST \/v2\/tags$/;
      const limited = () => new Response("", { status: 429, headers: { "retry-after": "0" } });
      api.answers.push(
        { request, answer: limited },
        { request, answer: () => new Response("", { status: 502 }) },
      );
      const sent = await api.during(() => of("Tag").create({ name: "again" }));
      assert.equal(sent.filter((line) => request.test(line)).length, 3);
    });

    test("that stays broken ends in an error after five requests", async () => {
      const request = /^POST \/v2\/tags$/;
      const answer = () => Response.json({ message: "Server Error" }, { status: 500 });
      for (let i = 0; i < 5; i++) api.answers.push({ request, answer });
      const message = /POST .*\/v2\/tags: 500 Server Error; giving up after 5 attempt\(s\)/;
      await assert.rejects(of("Tag").create({ name: "broken" }), message);
      assert.equal(api.answers.length, 0);
    });

    test("refuses a wrong token, and the error does not show it", async () => {
      const stranger = await Plugin.start("digitalocean", api.env);
      await stranger.configure({ token: "canary" });
      const tag = stranger.of("digitalocean:index/tag:Tag");
      await assert.rejects(tag.create({ name: "x" }), (error: Error) => {
        assert.match(error.message, /: 401 /);
        assert.doesNotMatch(error.message, /canary/);
        return true;
      });
      await stranger.stop();
    });

    test("is waited for to the end by an interrupted run, as by the real plugin", async () => {
      let open = () => {};
      api.machine.gate = new Promise((resolve) => {
        open = resolve;
      });
      const from = api.requests.length;
      const creation = newDroplet();
      const waits = (line: string) => line.startsWith("GET /v2/droplets/");
      while (!api.requests.slice(from).some(waits)) await sleep(10);
      await plugin.cancel();
      open();
      const made = await creation;
      assert.equal(made.state.status, "active");
      await of("Droplet").delete(made);
    });
  });
});
