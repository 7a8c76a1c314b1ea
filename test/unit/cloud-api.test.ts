import assert from "node:assert/strict";
import { mkdtemp, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";
import { z } from "zod";
import { createApp } from "../../sandbox/cloud/api/app.ts";
import { Cloud } from "../../sandbox/cloud/api/cloud.ts";
import type { RateLimit } from "../../sandbox/cloud/api/manners.ts";
import { Store } from "../../sandbox/cloud/api/store.ts";
import { RememberingHypervisor } from "./remembering-hypervisor.ts";

const token = "dop_v1_of_the_test";
const publicKey =
  "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIC6PaLwoXDJyEJ0+S2xYzDy2Q0l0Yk0qCm1uQ1m0aXxd a@b";

const answer = z.record(z.string(), z.unknown());
const id = z.object({ id: z.union([z.int(), z.string()]).transform(String) });
const action = z.object({
  action: z.object({ id: z.int(), status: z.string(), type: z.string() }),
});
const dropletSchema = z.object({
  droplet: z.object({
    id: z.int(),
    name: z.string(),
    status: z.string(),
    locked: z.boolean(),
    size_slug: z.string(),
    disk: z.int(),
    features: z.array(z.string()),
    tags: z.array(z.string()),
    volume_ids: z.array(z.string()),
    image: z.object({ id: z.int(), slug: z.string().nullable() }),
    networks: z.object({
      v4: z.array(z.object({ ip_address: z.string(), type: z.string() })),
      v6: z.array(z.object({ ip_address: z.string(), type: z.string() })),
    }),
  }),
});

let dir: string;
let log: string[];
let hypervisor: RememberingHypervisor;
let cloud: Cloud;
let app: ReturnType<typeof createApp>;

async function begin(limit?: RateLimit): Promise<void> {
  const store = await Store.open(join(dir, "account.json"));
  cloud = new Cloud(store, hypervisor, (line) => log.push(line));
  app = createApp(cloud, token, limit);
}

interface Answer {
  status: number;
  headers: Headers;
  text: string;
}

async function call(method: string, path: string, body?: unknown, bearer = token): Promise<Answer> {
  const response = await app.request(`http://127.0.0.1/v2${path}`, {
    method,
    headers: { authorization: `Bearer ${bearer}` },
    ...(body === undefined ? {} : { body: typeof body === "string" ? body : JSON.stringify(body) }),
  });
  return { status: response.status, headers: response.headers, text: await response.text() };
}

async function ok(method: string, path: string, body?: unknown): Promise<Record<string, unknown>> {
  const { status, text } = await call(method, path, body);
  assert.ok(status >= 200 && status < 300, `${method} ${path}: ${status} ${text}`);
  return text === "" ? {} : answer.parse(JSON.parse(text));
}

async function refused(method: string, path: string, body: unknown, status: number, words: RegExp) {
  const given = await call(method, path, body);
  assert.equal(given.status, status, given.text);
  assert.match(String(answer.parse(JSON.parse(given.text)).message), words);
}

const droplets = {
  request: {
    name: "mail.example.com",
    image: "debian-13-x64",
    size: "s-1vcpu-1gb",
    region: "fra1",
  },
  async make(more: object = {}): Promise<number> {
    const made = await ok("POST", "/droplets", { ...droplets.request, ...more });
    await cloud.actions.settled();
    return dropletSchema.parse(made).droplet.id;
  },
  async get(dropletId: number) {
    return dropletSchema.parse(await ok("GET", `/droplets/${dropletId}`)).droplet;
  },
  async act(dropletId: number, request: object): Promise<string> {
    const begun = action.parse(await ok("POST", `/droplets/${dropletId}/actions`, request)).action;
    assert.equal(begun.status, "in-progress");
    await cloud.actions.settled();
    return action.parse(await ok("GET", `/actions/${begun.id}`)).action.status;
  },
};

async function made(key: string, path: string, body: object): Promise<string> {
  return id.parse((await ok("POST", path, body))[key]).id;
}

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "cloud-api-"));
  log = [];
  hypervisor = new RememberingHypervisor();
  await begin();
});
afterEach(async () => {
  await cloud.actions.settled();
  await cloud.store.save();
  await rm(dir, { recursive: true });
});

describe("the API's manners", () => {
  it("turns a wrong or missing token away with 401", async () => {
    const { status, text } = await call("GET", "/account", undefined, "dop_v1_of_the_tesT");
    assert.equal(status, 401);
    const { id, message } = answer.parse(JSON.parse(text));
    assert.deepEqual(
      { id, message },
      { id: "Unauthorized", message: "Unable to authenticate you" },
    );
    assert.equal((await app.request("http://127.0.0.1/v2/account")).status, 401);
    assert.equal((await app.request("http://127.0.0.1/sandbox/status")).status, 401);
  });

  it("answers 404 to what is not there, and logs a route that it lacks", async () => {
    await refused("GET", "/droplets/1", undefined, 404, /could not be found/);
    await refused("GET", "/kubernetes/clusters", undefined, 404, /could not be found/);
    assert.ok(log.includes("the sandbox has no GET /v2/kubernetes/clusters"));
  });

  it("answers 400 to a body that is no JSON and 422 to one that does not fit", async () => {
    await refused("POST", "/account/keys", "{", 400, /not valid JSON/);
    await refused("POST", "/account/keys", { name: "x" }, 422, /^public_key: /);
  });

  it("answers 429 with the time to wait once the limit is used up, and serves again after it", async () => {
    await begin({ requests: 2, windowSeconds: 1 });
    assert.equal((await call("GET", "/account")).headers.get("ratelimit-remaining"), "1");
    await call("GET", "/account");
    const limited = await call("GET", "/account");
    assert.equal(limited.status, 429);
    assert.equal(answer.parse(JSON.parse(limited.text)).id, "too_many_requests");
    assert.equal(limited.headers.get("ratelimit-limit"), "2");
    const wait = Number(limited.headers.get("retry-after"));
    assert.ok(wait >= 1 && wait <= 2);
    const reset = Number(limited.headers.get("ratelimit-reset")) * 1000;
    await new Promise((resolve) => setTimeout(resolve, reset - Date.now()));
    assert.equal((await call("GET", "/account")).status, 200);
  });

  it("takes another limit while it runs, for tests of clients that meet one", async () => {
    const response = await app.request("http://127.0.0.1/sandbox/rate-limit", {
      method: "PUT",
      headers: { authorization: `Bearer ${token}` },
      body: JSON.stringify({ requests: 0, windowSeconds: 60 }),
    });
    assert.equal(response.status, 204);
    assert.equal((await call("GET", "/account")).status, 429);
  });

  it("gives long lists page by page, at most 200 a page", async () => {
    for (let number = 0; number < 23; number++) await ok("POST", "/tags", { name: `tag${number}` });
    const page = z.object({
      tags: z.array(z.object({ name: z.string() })),
      links: z.object({ pages: z.record(z.string(), z.string()).optional() }),
      meta: z.object({ total: z.int() }),
    });
    const first = page.parse(await ok("GET", "/tags"));
    assert.equal(first.tags.length, 20);
    assert.equal(first.meta.total, 23);
    assert.deepEqual(Object.keys(first.links.pages ?? {}).sort(), ["last", "next"]);
    const middle = page.parse(await ok("GET", "/tags?per_page=10&page=2"));
    assert.equal(middle.tags[0]?.name, "tag10");
    assert.equal(middle.links.pages?.prev, "http://127.0.0.1/v2/tags?per_page=10&page=1");
    assert.equal(middle.links.pages?.last, "http://127.0.0.1/v2/tags?per_page=10&page=3");
    assert.deepEqual(page.parse(await ok("GET", "/tags?per_page=5000")).links, {});
  });

  it("never logs tokens or user_data, and keeps its file from other users", async () => {
    await droplets.make({ user_data: "#cloud-config\n# canary" });
    hypervisor.broken.add("createGuest");
    await droplets.make({ user_data: "#cloud-config\n# canary" });
    assert.doesNotMatch(log.join("\n"), /canary|dop_v1/);
    assert.equal((await stat(join(dir, "account.json"))).mode & 0o777, 0o600);
  });

  it("knows everything again after a restart, and gives up what it was in the middle of", async () => {
    const done = await droplets.make({ tags: ["mail"] });
    await ok("POST", "/domains", { name: "example.com" });
    hypervisor.gate = new Promise(() => {});
    const { droplet } = dropletSchema.parse(await ok("POST", "/droplets", droplets.request));
    hypervisor.gate = Promise.resolve();
    hypervisor.zones = [];
    await begin();
    await cloud.restore();
    assert.equal((await droplets.get(done)).status, "active");
    const interrupted = await droplets.get(droplet.id);
    assert.deepEqual([interrupted.status, interrupted.locked], ["off", false]);
    assert.equal(hypervisor.lookup("example.com", "NS").length, 3);
  });
});

describe("SSH keys", () => {
  it("get the MD5 fingerprint of OpenSSH, by which and by their id they are found", async () => {
    const key = await ok("POST", "/account/keys", { name: "laptop", public_key: publicKey });
    const keyId = id.parse(key.ssh_key).id;
    const { fingerprint } = z.object({ fingerprint: z.string() }).parse(key.ssh_key);
    assert.equal(fingerprint, "ef:40:a5:98:45:22:80:10:fd:ac:bd:2f:ab:ee:c9:e7");
    assert.deepEqual(await ok("GET", `/account/keys/${fingerprint}`), key);
    await ok("PUT", `/account/keys/${keyId}`, { name: "desktop" });
    assert.match((await call("GET", `/account/keys/${keyId}`)).text, /desktop/);
    await ok("DELETE", `/account/keys/${keyId}`);
    assert.equal((await call("GET", `/account/keys/${keyId}`)).status, 404);
  });

  it("are refused twice and when they are none", async () => {
    await ok("POST", "/account/keys", { name: "a", public_key: publicKey });
    const add = (public_key: string, words: RegExp) =>
      refused("POST", "/account/keys", { name: "b", public_key }, 422, words);
    await add(`${publicKey}-other-comment`, /^SSH Key is already in use on your account$/);
    await add("nonsense", /^Key invalid, key should be of the format `type key \[comment\]`$/);
    await add("ssh-foo AAAA", /^Key invalid type, we support 'ssh-rsa'/);
    await add("ssh-rsa AAAAC3NzaC1lZDI1NTE5", /^Key invalid, /);
  });
});

describe("droplets", () => {
  it("are new without addresses, then active with those of the guest that was booted", async () => {
    await ok("POST", "/account/keys", { name: "laptop", public_key: publicKey });
    const keys = z.object({ ssh_keys: z.array(z.object({ fingerprint: z.string() })) });
    const { ssh_keys } = keys.parse(await ok("GET", "/account/keys"));
    const request = {
      ...droplets.request,
      ipv6: true,
      user_data: "#cloud-config",
      ssh_keys: ssh_keys.map((key) => key.fingerprint),
    };
    const { status, text } = await call("POST", "/droplets", request);
    assert.equal(status, 202);
    const { droplet } = dropletSchema.parse(JSON.parse(text));
    assert.deepEqual([droplet.status, droplet.locked, droplet.networks.v4], ["new", true, []]);
    await cloud.actions.settled();
    const active = await droplets.get(droplet.id);
    assert.deepEqual([active.status, active.locked], ["active", false]);
    assert.deepEqual(active.features, ["ipv6", "private_networking"]);
    const guest = hypervisor.guests.get(droplet.id);
    const publicOnes = active.networks.v4.filter((one) => one.type === "public");
    assert.deepEqual(
      publicOnes.map((one) => one.ip_address),
      [guest?.ipv4],
    );
    assert.equal(active.networks.v6[0]?.ip_address, guest?.ipv6);
    assert.deepEqual(guest?.sshKeys, [publicKey]);
    assert.equal(guest?.userData, "#cloud-config");
    assert.equal(guest?.memoryMiB, 1024);
  });

  it("come several at once by names, and are found by name and tag", async () => {
    const { name: _, ...request } = droplets.request;
    const made = await ok("POST", "/droplets", { ...request, names: ["a", "b"], tags: ["Web"] });
    await cloud.actions.settled();
    assert.equal(z.array(id).parse(made.droplets).length, 2);
    const found = async (query: string) =>
      z
        .array(z.object({ name: z.string() }))
        .parse((await ok("GET", `/droplets?${query}`)).droplets);
    assert.deepEqual(
      (await found("name=b")).map((one) => one.name),
      ["b"],
    );
    assert.equal((await found("tag_name=web")).length, 2);
    assert.equal((await call("DELETE", "/droplets?tag_name=web")).status, 204);
    assert.equal(hypervisor.guests.size, 0);
  });

  it("are refused with DigitalOcean's words where something is wrong", async () => {
    const create = (more: object, words: RegExp) =>
      refused("POST", "/droplets", { ...droplets.request, ...more }, 422, words);
    await create(
      { image: "ubuntu-24-04-x64" },
      /^You specified an invalid image for Droplet creation\.$/,
    );
    await create({ size: "huge" }, /^You specified an invalid size for Droplet creation\.$/);
    await create({ region: "mars1" }, /^You specified an invalid region for Droplet creation\.$/);
    await create(
      { ssh_keys: [7, "aa:bb"] },
      /^7, aa:bb are invalid key identifiers for Droplet creation\.$/,
    );
    await create({ name: "a_b" }, /Only valid hostname characters are allowed/);
    await create({ user_data: "x".repeat(64 * 1024 + 1) }, /^User data is too long/);
    await create({ vpc_uuid: "5c8d2a9e-0000-4000-8000-000000000000" }, /^VPC .* does not exist/);
    await create({ tags: ["no good"] }, /^Tag "no good" is invalid/);
    assert.equal(hypervisor.calls.length, 0);
  });

  it("can be made from another image that is Debian 13 too", async () => {
    const dropletId = await droplets.make({ image: "190000002" });
    assert.equal((await droplets.get(dropletId)).image.slug, null);
    assert.equal(hypervisor.guests.get(dropletId)?.imageSlug, "debian-13-x64");
  });

  it("end off, with an errored action, where the guest can't be made, and can be deleted", async () => {
    hypervisor.broken.add("createGuest");
    const dropletId = await droplets.make();
    assert.equal((await droplets.get(dropletId)).status, "off");
    assert.match((await call("GET", `/droplets/${dropletId}/actions`)).text, /"errored"/);
    const status = await app.request("http://127.0.0.1/sandbox/status", {
      headers: { authorization: `Bearer ${token}` },
    });
    assert.match(await status.text(), /createGuest is broken/);
    await ok("DELETE", `/droplets/${dropletId}`);
    assert.equal((await call("GET", `/droplets/${dropletId}`)).status, 404);
  });

  it("do one thing at a time", async () => {
    const { promise, resolve } = Promise.withResolvers<void>();
    hypervisor.gate = promise;
    const { droplet } = dropletSchema.parse(await ok("POST", "/droplets", droplets.request));
    const pending = /^Droplet already has a pending event\.$/;
    await refused("POST", `/droplets/${droplet.id}/actions`, { type: "reboot" }, 422, pending);
    await refused("DELETE", `/droplets/${droplet.id}`, undefined, 422, pending);
    resolve();
    await cloud.actions.settled();
    assert.equal((await droplets.get(droplet.id)).status, "active");
  });

  it("are switched off and on", async () => {
    const dropletId = await droplets.make();
    const path = `/droplets/${dropletId}/actions`;
    await refused("POST", path, { type: "power_on" }, 422, /^Droplet is already powered on\.$/);
    assert.equal(await droplets.act(dropletId, { type: "shutdown" }), "completed");
    assert.ok(hypervisor.calls.includes(`powerOff ${dropletId} graceful`));
    assert.equal((await droplets.get(dropletId)).status, "off");
    await refused("POST", path, { type: "power_off" }, 422, /^Droplet is already powered off\.$/);
    await droplets.act(dropletId, { type: "power_on" });
    await droplets.act(dropletId, { type: "power_cycle" });
    assert.ok(hypervisor.calls.includes(`powerOff ${dropletId} hard`));
    assert.equal((await droplets.get(dropletId)).status, "active");
  });

  it("are resized only when off, and never to a smaller disk", async () => {
    const dropletId = await droplets.make();
    const path = `/droplets/${dropletId}/actions`;
    const resize = (size: string, disk: boolean) => ({ type: "resize", size, disk });
    await refused("POST", path, resize("s-2vcpu-2gb", true), 422, /must be powered off/);
    await droplets.act(dropletId, { type: "power_off" });
    await droplets.act(dropletId, resize("s-2vcpu-2gb", false));
    assert.deepEqual((await droplets.get(dropletId)).disk, 25);
    await droplets.act(dropletId, resize("s-2vcpu-2gb", true));
    const { size_slug, disk } = await droplets.get(dropletId);
    assert.deepEqual([size_slug, disk], ["s-2vcpu-2gb", 60]);
    await refused("POST", path, resize("s-1vcpu-1gb", false), 422, /smaller disk/);
    await refused("POST", path, resize("huge", false), 422, /invalid size/);
  });

  it("are rebuilt, renamed, and get IPv6 and backups", async () => {
    const dropletId = await droplets.make();
    await droplets.act(dropletId, { type: "rebuild", image: 190000002 });
    assert.equal((await droplets.get(dropletId)).image.id, 190000002);
    await droplets.act(dropletId, { type: "rename", name: "mx.example.org" });
    await droplets.act(dropletId, { type: "enable_backups" });
    await droplets.act(dropletId, { type: "enable_ipv6" });
    const { name, features } = await droplets.get(dropletId);
    assert.equal(name, "mx.example.org");
    assert.deepEqual(features, ["backups", "ipv6", "private_networking"]);
    await droplets.act(dropletId, { type: "disable_backups" });
    assert.ok(!(await droplets.get(dropletId)).features.includes("backups"));
  });

  it("tell an action that they don't have", async () => {
    const path = `/droplets/${await droplets.make()}/actions`;
    await refused("POST", path, { type: "password_reset" }, 422, /no action 'password_reset'/);
  });

  it("leave their volumes and reserved addresses behind when they are deleted", async () => {
    const volume = await made("volume", "/volumes", {
      name: "v",
      region: "fra1",
      size_gigabytes: 1,
    });
    const dropletId = await droplets.make({ volumes: [{ id: volume }] });
    assert.deepEqual((await droplets.get(dropletId)).volume_ids, [volume]);
    const reserved = await ok("POST", "/reserved_ips", { droplet_id: dropletId });
    await cloud.actions.settled();
    const { ip } = z.object({ ip: z.string() }).parse(reserved.reserved_ip);
    assert.equal(hypervisor.reserved.get(ip), dropletId);
    hypervisor.calls.length = 0;
    await ok("DELETE", `/droplets/${dropletId}`);
    assert.equal(hypervisor.volumes.get(volume)?.guest, null);
    assert.equal(hypervisor.reserved.get(ip), null);
    const [first, second] = hypervisor.calls;
    assert.deepEqual([first, second], [`powerOff ${dropletId} hard`, `detachVolume ${volume}`]);
  });

  it("are still there, with the reason, where a guest can't be destroyed", async () => {
    const dropletId = await droplets.make();
    hypervisor.broken.add("destroyGuest");
    await refused("DELETE", `/droplets/${dropletId}`, undefined, 500, /destroyGuest is broken/);
    hypervisor.broken.clear();
    await hypervisor.destroyGuest(dropletId);
    await ok("DELETE", `/droplets/${dropletId}`);
    assert.equal((await call("GET", `/droplets/${dropletId}`)).status, 404);
  });
});

describe("the DNS", () => {
  const add = async (record: object) =>
    z
      .object({ id: z.int(), name: z.string(), data: z.string(), ttl: z.int() })
      .parse((await ok("POST", "/domains/example.com/records", record)).domain_record);
  const refuse = (record: object, words: RegExp) =>
    refused("POST", "/domains/example.com/records", record, 422, words);

  beforeEach(async () => {
    await ok("POST", "/domains", { name: "example.com" });
  });

  it("serves a new domain with DigitalOcean's name servers", async () => {
    assert.deepEqual(hypervisor.lookup("example.com", "NS"), [
      "ns1.digitalocean.com.",
      "ns2.digitalocean.com.",
      "ns3.digitalocean.com.",
    ]);
    assert.match(hypervisor.lookup("example.com", "SOA")[0] ?? "", /^ns1\.digitalocean\.com\. /);
    const { domain } = await ok("GET", "/domains/example.com");
    assert.match(JSON.stringify(domain), /"ttl":1800.*IN NS ns3\.digitalocean\.com\./);
  });

  it("has each name once", async () => {
    const name = "Example.com";
    await refused(
      "POST",
      "/domains",
      { name },
      422,
      /^domain 'example\.com': name already exists$/,
    );
    await refused("POST", "/domains", { name: "no_dots" }, 422, /name is invalid/);
    await ok("POST", "/domains", { name: "www.example.com", ip_address: "192.0.2.1" });
    assert.deepEqual(hypervisor.lookup("www.example.com", "A"), ["192.0.2.1"]);
  });

  it("serves each type of record as it was meant", async () => {
    await add({ type: "A", name: "mail", data: "192.0.2.1" });
    await add({ type: "AAAA", name: "mail.example.com.", data: "2001:db8::1" });
    await add({ type: "MX", name: "@", data: "mail.example.com.", priority: 10 });
    await add({ type: "MX", name: "sub", data: "@", priority: 0 });
    await add({ type: "CNAME", name: "www", data: "example.com." });
    await add({ type: "CNAME", name: "*.w", data: "cdn.example.net." });
    await add({
      type: "SRV",
      name: "_imaps._tcp",
      data: "mail.example.com.",
      priority: 0,
      weight: 1,
      port: 993,
    });
    await add({ type: "CAA", name: "@", data: "letsencrypt.org.", flags: 0, tag: "issue" });
    await add({ type: "NS", name: "other", data: "ns.example.net." });
    const served = (name: string, type: string) => hypervisor.lookup(name, type);
    assert.deepEqual(served("mail.example.com", "A"), ["192.0.2.1"]);
    assert.deepEqual(served("mail.example.com", "AAAA"), ["2001:db8::1"]);
    assert.deepEqual(served("example.com", "MX"), ["10 mail.example.com."]);
    assert.deepEqual(served("sub.example.com", "MX"), ["0 example.com."]);
    assert.deepEqual(served("www.example.com", "CNAME"), ["example.com."]);
    assert.deepEqual(served("*.w.example.com", "CNAME"), ["cdn.example.net."]);
    assert.deepEqual(served("_imaps._tcp.example.com", "SRV"), ["0 1 993 mail.example.com."]);
    assert.deepEqual(served("example.com", "CAA"), ['0 issue "letsencrypt.org"']);
    assert.deepEqual(served("other.example.com", "NS"), ["ns.example.net."]);
  });

  it("shows targets without their final dot and the domain itself as @", async () => {
    assert.equal(
      (await add({ type: "MX", data: "mail.example.com.", priority: 1 })).data,
      "mail.example.com",
    );
    assert.equal((await add({ type: "CNAME", name: "www", data: "example.com." })).data, "@");
    const caa = { type: "CAA", data: "letsencrypt.org.", flags: 0, tag: "issue" };
    assert.equal((await add(caa)).data, "letsencrypt.org");
    const name = "mail.example.com.";
    assert.equal((await add({ type: "A", name, data: "192.0.2.1" })).name, "mail");
  });

  it("serves texts whole: quotes, backslashes, bytes, and more than 255 of them", async () => {
    const txt = async (name: string, data: string) => {
      await add({ type: "TXT", name, data });
      return hypervisor.lookup(`${name}.example.com`, "TXT");
    };
    assert.deepEqual(await txt("spf", "v=spf1 mx -all"), ['"v=spf1 mx -all"']);
    assert.deepEqual(await txt("semicolon", "v=DMARC1; p=none"), ['"v=DMARC1; p=none"']);
    assert.deepEqual(await txt("quote", 'say "hi" \\'), ['"say \\"hi\\" \\\\"']);
    assert.deepEqual(await txt("umlaut", "ü"), ['"\\195\\188"']);
    const long = "x".repeat(300);
    assert.deepEqual(await txt("long", long), [`"${"x".repeat(255)}" "${"x".repeat(45)}"`]);
    assert.deepEqual(await txt("strings", '"a" "b"'), ['"a" "b"']);
  });

  it("refuses what DigitalOcean refuses, in its words", async () => {
    const dot = /^Data needs to end with a dot \(\.\)$/;
    await refuse({ type: "MX", name: "@", data: "mail.example.com", priority: 1 }, dot);
    await refuse({ type: "CNAME", name: "www", data: "example.net" }, dot);
    await refuse({ type: "CAA", name: "@", data: "letsencrypt.org", flags: 0, tag: "issue" }, dot);
    await refuse({ type: "A", name: "a" }, /^Data can't be blank$/);
    await refuse({ type: "A", name: "a", data: "2001:db8::1" }, /not a valid IPv4 address/);
    await refuse({ type: "AAAA", name: "a", data: "192.0.2.1" }, /not a valid IPv6 address/);
    await refuse({ type: "MX", name: "@", data: "@" }, /^Priority can't be blank$/);
    await refuse(
      { type: "TLSA", name: "a", data: "3 1 1 00" },
      /^Type is not included in the list$/,
    );
    await refuse({ type: "A", name: "a b", data: "192.0.2.1" }, /Only valid hostname characters/);
    await refuse({ type: "A", name: "a.example.net.", data: "192.0.2.1" }, /outside of the domain/);
    await refuse({ type: "A", name: "a", data: "192.0.2.1", ttl: 5 }, /^TTL must be/);
    await refuse({ type: "TXT", name: "a", data: "x".repeat(513) }, /^Data is too long/);
    assert.deepEqual(hypervisor.lookup("a.example.com", "A"), []);
  });

  it("lets a CNAME stand alone only", async () => {
    const alone = /^CNAME records cannot share a name with other records$/;
    await add({ type: "A", name: "a", data: "192.0.2.1" });
    await refuse({ type: "CNAME", name: "a", data: "@" }, alone);
    await add({ type: "CNAME", name: "c", data: "@" });
    await refuse({ type: "CNAME", name: "c", data: "example.net." }, alone);
    await refuse({ type: "A", name: "c", data: "192.0.2.1" }, alone);
    await refuse({ type: "CNAME", name: "@", data: "example.net." }, alone);
  });

  it("serves a changed record at once and a deleted one no more", async () => {
    const record = await add({ type: "A", name: "mail", data: "192.0.2.1" });
    const path = `/domains/example.com/records/${record.id}`;
    const serial = () => Number(hypervisor.lookup("example.com", "SOA")[0]?.split(" ")[2]);
    const before = serial();
    await ok("PUT", path, { data: "192.0.2.2", ttl: 60 });
    assert.deepEqual(hypervisor.lookup("mail.example.com", "A"), ["192.0.2.2"]);
    assert.ok(serial() > before);
    assert.equal((await call("DELETE", path)).status, 204);
    assert.deepEqual(hypervisor.lookup("mail.example.com", "A"), []);
    assert.equal((await call("GET", path)).status, 404);
    await ok("DELETE", "/domains/example.com");
    assert.deepEqual(hypervisor.zones, []);
  });

  it("gives all records of one name and type one TTL", async () => {
    const first = await add({ type: "A", name: "mail", data: "192.0.2.1" });
    assert.equal(first.ttl, 1800);
    await add({ type: "A", name: "mail", data: "192.0.2.2", ttl: 60 });
    assert.match((await call("GET", `/domains/example.com/records/${first.id}`)).text, /"ttl":60/);
  });

  it("forgets a change that could not be served, so that it can be made again", async () => {
    const record = await add({ type: "A", name: "mail", data: "192.0.2.1" });
    const path = `/domains/example.com/records/${record.id}`;
    const before = JSON.stringify(cloud.state.domains[0]?.records);
    hypervisor.broken.add("setZones");
    const other = { type: "A", name: "other", data: "192.0.2.2" };
    const broken = /setZones is broken/;
    await refused("POST", "/domains/example.com/records", other, 500, broken);
    await refused("PUT", path, { data: "192.0.2.2" }, 500, broken);
    await refused("DELETE", path, undefined, 500, broken);
    await refused("POST", "/domains", { name: "example.org" }, 500, broken);
    await refused("DELETE", "/domains/example.com", undefined, 500, broken);
    assert.deepEqual(
      cloud.state.domains.map((one) => one.name),
      ["example.com"],
    );
    assert.equal(JSON.stringify(cloud.state.domains[0]?.records), before);
    hypervisor.broken.clear();
    await add(other);
    assert.deepEqual(hypervisor.lookup("mail.example.com", "A"), ["192.0.2.1"]);
  });

  it("finds records by type and full name", async () => {
    await add({ type: "A", name: "mail", data: "192.0.2.1" });
    const count = async (query: string) =>
      z
        .array(z.unknown())
        .parse((await ok("GET", `/domains/example.com/records?${query}`)).domain_records).length;
    assert.equal(await count("type=NS"), 3);
    assert.equal(await count("name=mail.example.com"), 1);
    assert.equal(await count("type=MX&name=mail.example.com"), 0);
  });

  it("names the addresses of droplets that are called by a full host name", async () => {
    const dropletId = await droplets.make({ ipv6: true });
    await droplets.make({ name: "nameless" });
    assert.deepEqual(hypervisor.lookup("1.16.64.10.in-addr.arpa", "PTR"), ["mail.example.com."]);
    const v6 = "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.1.0.0.0.a.9.8.7.6.5.4.3.2.1.d.f.ip6.arpa";
    assert.deepEqual(hypervisor.lookup(v6, "PTR"), ["mail.example.com."]);
    assert.deepEqual(hypervisor.zones.map((zone) => zone.name).slice(1), [
      "64.10.in-addr.arpa",
      "1.0.0.0.a.9.8.7.6.5.4.3.2.1.d.f.ip6.arpa",
    ]);
    assert.deepEqual(hypervisor.lookup("2.16.64.10.in-addr.arpa", "PTR"), []);
    await droplets.act(dropletId, { type: "rename", name: "mx.example.com" });
    assert.deepEqual(hypervisor.lookup("1.16.64.10.in-addr.arpa", "PTR"), ["mx.example.com."]);
    await ok("DELETE", `/droplets/${dropletId}`);
    assert.deepEqual(hypervisor.lookup("1.16.64.10.in-addr.arpa", "PTR"), []);
  });

  it("publishes many changes made at once together, and answers each when it is served", async () => {
    hypervisor.calls.length = 0;
    const names = Array.from({ length: 20 }, (_, number) => `n${number}`);
    await Promise.all(names.map((name) => add({ type: "A", name, data: "192.0.2.1" })));
    for (const name of names) assert.equal(hypervisor.lookup(`${name}.example.com`, "A").length, 1);
    const pushes = hypervisor.calls.filter((one) => one === "setZones").length;
    assert.ok(pushes < 20, `${pushes} pushes`);
  });
});

describe("firewalls", () => {
  const everywhere = { addresses: ["0.0.0.0/0", "::/0"] };
  const smtp = { protocol: "tcp", ports: "25", sources: everywhere };
  const out = { protocol: "tcp", ports: "all", destinations: everywhere };
  const make = async (more: object) => {
    const path = "/firewalls";
    const firewall = await made("firewall", path, { name: "mail", inbound_rules: [smtp], ...more });
    await cloud.applyFirewalls();
    return firewall;
  };

  it("filter nothing until a droplet is behind one", async () => {
    const dropletId = await droplets.make();
    assert.equal(hypervisor.firewalls.get(dropletId), undefined);
    const firewall = await make({ droplet_ids: [dropletId], outbound_rules: [out] });
    assert.deepEqual(hypervisor.firewalls.get(dropletId), {
      inbound: [{ protocol: "tcp", ports: "25", sources: ["0.0.0.0/0", "::/0"] }],
      outbound: [{ protocol: "tcp", ports: "all", destinations: ["0.0.0.0/0", "::/0"] }],
    });
    await ok("DELETE", `/firewalls/${firewall}`);
    assert.equal(hypervisor.firewalls.get(dropletId), null);
  });

  it("wait until their rules are in force, and then have succeeded", async () => {
    const droplet_ids = [await droplets.make()];
    const begun = await ok("POST", "/firewalls", { name: "f", inbound_rules: [smtp], droplet_ids });
    const shape = z.object({
      id: z.string(),
      status: z.string(),
      pending_changes: z.array(answer),
    });
    const waiting = shape.parse(begun.firewall);
    assert.equal(waiting.status, "waiting");
    const change = { droplet_id: droplet_ids[0], removing: false, status: "waiting" };
    assert.deepEqual(waiting.pending_changes, [change]);
    await cloud.applyFirewalls();
    const { status, pending_changes } = shape.parse(
      (await ok("GET", `/firewalls/${waiting.id}`)).firewall,
    );
    assert.deepEqual([status, pending_changes], ["succeeded", []]);
  });

  it("have failed where the rules can't be set, and succeed once they can", async () => {
    const dropletId = await droplets.make();
    hypervisor.broken.add("setFirewall");
    const firewall = await make({ droplet_ids: [dropletId] });
    assert.match((await call("GET", `/firewalls/${firewall}`)).text, /"status":"failed"/);
    hypervisor.broken.clear();
    await cloud.applyFirewalls();
    assert.match((await call("GET", `/firewalls/${firewall}`)).text, /"status":"succeeded"/);
  });

  it("let through what any of a droplet's firewalls lets through, by id or tag", async () => {
    const dropletId = await droplets.make({ tags: ["web"] });
    await make({ droplet_ids: [dropletId] });
    await make({ name: "web", tags: ["web"], inbound_rules: [{ ...smtp, ports: "80-81" }] });
    const rules = z.object({ inbound: z.array(z.object({ ports: z.string() })) });
    const ports = rules
      .parse(hypervisor.firewalls.get(dropletId))
      .inbound.map((rule) => rule.ports);
    assert.deepEqual(ports, ["25", "80-81"]);
  });

  it("follow the tags: of the droplets behind them and of those let through", async () => {
    const server = await droplets.make();
    const client = await droplets.make({ name: "client", tags: ["clients"], ipv6: true });
    await ok("POST", "/tags", { name: "servers" });
    const from = { ...smtp, sources: { tags: ["clients"] } };
    await make({ tags: ["servers"], inbound_rules: [from] });
    assert.equal(hypervisor.firewalls.get(server), undefined);
    const resources = [{ resource_id: String(server), resource_type: "droplet" }];
    await ok("POST", "/tags/servers/resources", { resources });
    const { ipv4, ipv4Private, ipv6 } = hypervisor.guests.get(client) ?? {};
    const sources = [`${ipv4}/32`, `${ipv4Private}/32`, `${ipv6}/128`];
    const inbound = [{ protocol: "tcp", ports: "25", sources }];
    assert.deepEqual(hypervisor.firewalls.get(server), { inbound, outbound: [] });
    await ok("DELETE", `/droplets/${client}`);
    const none = [{ protocol: "tcp", ports: "25", sources: [] }];
    assert.deepEqual(hypervisor.firewalls.get(server), { inbound: none, outbound: [] });
    await ok("DELETE", "/tags/servers/resources", { resources });
    assert.equal(hypervisor.firewalls.get(server), null);
  });

  it("show all ports, and ICMP's none, as 0", async () => {
    const icmp = { protocol: "icmp", sources: everywhere };
    const firewall = await make({ inbound_rules: [icmp, { ...smtp, ports: "all" }] });
    const { text } = await call("GET", `/firewalls/${firewall}`);
    assert.match(text, /"icmp","ports":"0".*"tcp","ports":"0"/);
  });

  it("are changed part by part", async () => {
    const dropletId = await droplets.make();
    const firewall = await make({});
    await ok("POST", `/firewalls/${firewall}/droplets`, { droplet_ids: [dropletId] });
    await ok("POST", `/firewalls/${firewall}/rules`, {
      inbound_rules: [{ ...smtp, ports: "587" }],
    });
    await ok("DELETE", `/firewalls/${firewall}/rules`, { inbound_rules: [smtp] });
    const inbound = [{ protocol: "tcp", ports: "587", sources: ["0.0.0.0/0", "::/0"] }];
    assert.deepEqual(hypervisor.firewalls.get(dropletId), { inbound, outbound: [] });
    await ok("DELETE", `/firewalls/${firewall}/droplets`, { droplet_ids: [dropletId] });
    assert.equal(hypervisor.firewalls.get(dropletId), null);
    await ok("PUT", `/firewalls/${firewall}`, {
      name: "x",
      outbound_rules: [out],
      droplet_ids: [dropletId],
    });
    await cloud.applyFirewalls();
    const outbound = [{ protocol: "tcp", ports: "all", destinations: ["0.0.0.0/0", "::/0"] }];
    assert.deepEqual(hypervisor.firewalls.get(dropletId), { inbound: [], outbound });
  });

  it("are refused where they make no sense", async () => {
    const create = (more: object, words: RegExp, status = 422) =>
      refused("POST", "/firewalls", { name: "f", inbound_rules: [smtp], ...more }, status, words);
    await make({});
    await create({ name: "mail" }, /^duplicate name$/, 409);
    await create({ name: "a b" }, /^name: may only contain/);
    await create({ inbound_rules: [] }, /^must have at least one rule$/);
    await create({ droplet_ids: [7] }, /^droplet 7 not found$/);
    await create({ tags: ["nobody"] }, /^tag nobody does not exist$/);
    await create({ inbound_rules: [{ ...smtp, ports: "" }] }, /^ports: /);
    await create({ inbound_rules: [{ ...smtp, ports: "9-8" }] }, /^ports: /);
    await create(
      { inbound_rules: [{ ...smtp, protocol: "gre" }] },
      /^inbound_rules\.0\.protocol: must be one of/,
    );
    await create(
      { inbound_rules: [{ ...smtp, sources: { addresses: ["10.0.0.0/33"] } }] },
      /^addresses: /,
    );
  });
});

describe("volumes", () => {
  const request = {
    name: "data",
    region: "fra1",
    size_gigabytes: 1,
    filesystem_type: "ext4",
    filesystem_label: "mail",
  };
  const act = async (volume: string, body: object) => {
    const begun = action.parse(await ok("POST", `/volumes/${volume}/actions`, body)).action;
    await cloud.actions.settled();
    return action.parse(await ok("GET", `/volumes/${volume}/actions/${begun.id}`)).action;
  };

  it("are made, attached, resized, detached and deleted", async () => {
    const volume = await made("volume", "/volumes", request);
    assert.equal(hypervisor.volumes.get(volume)?.filesystemLabel, "mail");
    const droplet_id = await droplets.make();
    const attached = await act(volume, { type: "attach", droplet_id });
    assert.deepEqual([attached.type, attached.status], ["attach_volume", "completed"]);
    assert.equal(hypervisor.volumes.get(volume)?.guest, droplet_id);
    assert.deepEqual((await droplets.get(droplet_id)).volume_ids, [volume]);
    await refused(
      "DELETE",
      `/volumes/${volume}`,
      undefined,
      409,
      /attached to a Droplet cannot be deleted/,
    );
    await act(volume, { type: "resize", size_gigabytes: 2 });
    assert.equal(hypervisor.volumes.get(volume)?.gigabytes, 2);
    await act(volume, { type: "detach", droplet_id });
    assert.equal(hypervisor.volumes.get(volume)?.guest, null);
    await ok("DELETE", `/volumes/${volume}`);
    assert.equal(hypervisor.volumes.size, 0);
  });

  it("are found, attached and deleted by name and region too", async () => {
    await ok("POST", "/volumes", request);
    assert.match((await call("GET", "/volumes?name=data&region=fra1")).text, /"total":1/);
    assert.match((await call("GET", "/volumes?name=data&region=nyc1")).text, /"total":0/);
    const droplet_id = await droplets.make();
    const named = { volume_name: "data", region: "fra1", droplet_id };
    await ok("POST", "/volumes/actions", { type: "attach", ...named });
    await cloud.actions.settled();
    await ok("POST", "/volumes/actions", { type: "detach", ...named });
    await cloud.actions.settled();
    await ok("DELETE", "/volumes?name=data&region=fra1");
    assert.equal(hypervisor.volumes.size, 0);
  });

  it("are attached to one droplet at most, of their own region", async () => {
    const volume = await made("volume", "/volumes", request);
    const [here, other] = [await droplets.make(), await droplets.make({ name: "other" })];
    const far = await droplets.make({ name: "far", region: "nyc1" });
    const attach = (droplet_id: number, words: RegExp) =>
      refused("POST", `/volumes/${volume}/actions`, { type: "attach", droplet_id }, 422, words);
    await attach(far, /must be in the same region/);
    await act(volume, { type: "attach", droplet_id: here });
    await attach(here, /^This volume is already attached$/);
    await attach(other, /attached to another Droplet/);
    const detach = { type: "detach", droplet_id: other };
    await refused("POST", `/volumes/${volume}/actions`, detach, 422, /^Attachment not found$/);
  });

  it("are free again where attaching failed", async () => {
    const volume = await made("volume", "/volumes", request);
    const droplet_id = await droplets.make();
    hypervisor.broken.add("attachVolume");
    assert.equal((await act(volume, { type: "attach", droplet_id })).status, "errored");
    assert.deepEqual((await droplets.get(droplet_id)).volume_ids, []);
  });

  it("are refused where they make no sense", async () => {
    const volume = await made("volume", "/volumes", request);
    const create = (more: object, words: RegExp, status = 422) =>
      refused("POST", "/volumes", { ...request, ...more }, status, words);
    await create({}, /already exists/, 409);
    await create({ name: "Data" }, /^name must begin/);
    await create({ name: "a", region: "" }, /^region is required/);
    await create({ name: "a", size_gigabytes: 0 }, /^size_gigabytes must be between/);
    await create({ name: "a", filesystem_type: "zfs" }, /^filesystem_type: must be either/);
    await create({ name: "a", filesystem_label: "x".repeat(17) }, /^filesystem_label must be/);
    const smaller = { type: "resize", size_gigabytes: 1 };
    await refused("POST", `/volumes/${volume}/actions`, smaller, 422, /greater than 1/);
  });

  it("don't exist where they could not be made", async () => {
    hypervisor.broken.add("createVolume");
    await refused("POST", "/volumes", request, 500, /createVolume is broken/);
    assert.match((await call("GET", "/volumes")).text, /"total":0/);
  });
});

describe("reserved IPs", () => {
  it("go to a droplet, to another, and to none", async () => {
    const [one, other] = [await droplets.make(), await droplets.make({ name: "other" })];
    const reserved = (await ok("POST", "/reserved_ips", { region: "fra1" })).reserved_ip;
    const { ip } = z.object({ ip: z.string() }).parse(reserved);
    const act = async (body: object) => {
      const begun = action.parse(await ok("POST", `/reserved_ips/${ip}/actions`, body)).action;
      await cloud.actions.settled();
      const path = `/reserved_ips/${ip}/actions/${begun.id}`;
      return action.parse(await ok("GET", path)).action.status;
    };
    for (const droplet_id of [one, other]) {
      assert.equal(await act({ type: "assign", droplet_id }), "completed");
      assert.equal(hypervisor.reserved.get(ip), droplet_id);
    }
    await act({ type: "unassign" });
    assert.equal(hypervisor.reserved.get(ip), null);
    const again = { type: "unassign" };
    await refused("POST", `/reserved_ips/${ip}/actions`, again, 422, /not assigned/);
    await ok("DELETE", `/reserved_ips/${ip}`);
    assert.equal((await call("GET", `/reserved_ips/${ip}`)).status, 404);
  });
});

describe("tags", () => {
  it("count what carries them, whatever their case, and go with it", async () => {
    const dropletId = await droplets.make({ tags: ["Mail"] });
    await ok("POST", "/tags", { name: "mail" });
    assert.match((await call("GET", "/tags/MAIL")).text, /"name":"Mail","resources":\{"count":1,/);
    await ok("DELETE", "/tags/mail");
    assert.deepEqual((await droplets.get(dropletId)).tags, []);
    assert.equal((await call("GET", "/tags/mail")).status, 404);
  });
});

describe("the catalogue", () => {
  it("has Debian 13 by slug and by number, sizes, regions, a default VPC and project", async () => {
    const bySlug = await ok("GET", "/images/debian-13-x64");
    assert.deepEqual(await ok("GET", "/images/190000001"), bySlug);
    assert.match((await call("GET", "/sizes")).text, /"slug":"s-1vcpu-1gb","memory":1024/);
    assert.match((await call("GET", "/regions")).text, /"slug":"fra1"/);
    const dropletId = await droplets.make();
    const { vpc_uuid } = z
      .object({ vpc_uuid: z.string() })
      .parse((await ok("GET", `/droplets/${dropletId}`)).droplet);
    assert.match((await call("GET", `/vpcs/${vpc_uuid}`)).text, /"region":"fra1".*"default":true/);
    const resources = await call("GET", "/projects/default/resources");
    assert.match(resources.text, new RegExp(`do:droplet:${dropletId}`));
  });
});
