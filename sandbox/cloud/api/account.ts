import { createHash } from "node:crypto";
import { Hono } from "hono";
import { z } from "zod";
import { body } from "./body.ts";
import type { Cloud } from "./cloud.ts";
import { notFound, unprocessable } from "./errors.ts";
import { listed } from "./paging.ts";
import type { SshKey } from "./state.ts";

export const dropletLimit = 25;

const keyTypes = [
  "ssh-rsa",
  "ssh-dss",
  "ecdsa-sha2-nistp256",
  "ecdsa-sha2-nistp384",
  "ecdsa-sha2-nistp521",
  "ssh-ed25519",
];

export function accountRoutes(cloud: Cloud): Hono {
  const routes = new Hono();
  routes.get("/account", (c) => c.json({ account: accountJson(cloud) }));
  routes.get("/account/keys", (c) =>
    c.json(listed(c, "ssh_keys", cloud.state.sshKeys, sshKeyJson)),
  );
  routes.post("/account/keys", async (c) => {
    const { name, public_key } = await body(c, keyRequest);
    const key = addKey(cloud, name, public_key.trim());
    return c.json({ ssh_key: sshKeyJson(key) }, 201);
  });
  routes.get("/account/keys/:key", (c) =>
    c.json({ ssh_key: sshKeyJson(keyOf(cloud, c.req.param("key"))) }),
  );
  routes.put("/account/keys/:key", async (c) => {
    const key = keyOf(cloud, c.req.param("key"));
    key.name = (await body(c, renameRequest)).name;
    return c.json({ ssh_key: sshKeyJson(key) });
  });
  routes.delete("/account/keys/:key", (c) => {
    const key = keyOf(cloud, c.req.param("key"));
    cloud.state.sshKeys.splice(cloud.state.sshKeys.indexOf(key), 1);
    return c.body(null, 204);
  });
  return routes;
}

/** By id (a number or its text) or MD5 fingerprint; `undefined` where the account has no such key. */
export function findKey(cloud: Cloud, idOrFingerprint: string | number): SshKey | undefined {
  const wanted = String(idOrFingerprint);
  return cloud.state.sshKeys.find(
    (key) => String(key.id) === wanted || key.fingerprint === wanted.toLowerCase(),
  );
}

const keyRequest = z.object({ name: z.string().min(1), public_key: z.string() });
const renameRequest = z.object({ name: z.string().min(1) });

function keyOf(cloud: Cloud, idOrFingerprint: string): SshKey {
  const key = findKey(cloud, idOrFingerprint);
  if (!key) throw notFound();
  return key;
}

function addKey(cloud: Cloud, name: string, publicKey: string): SshKey {
  const fingerprint = fingerprintOf(publicKey);
  if (findKey(cloud, fingerprint)) throw unprocessable("SSH Key is already in use on your account");
  const key = { id: cloud.store.newId(), name, fingerprint, publicKey };
  cloud.state.sshKeys.push(key);
  return key;
}

/** MD5 of the key's blob, as `ssh-keygen -l -E md5` shows it; throws DigitalOcean's 422s. */
function fingerprintOf(publicKey: string): string {
  const [type = "", encoded = ""] = publicKey.split(/\s+/);
  if (encoded === "") {
    throw unprocessable("Key invalid, key should be of the format `type key [comment]`");
  }
  if (!keyTypes.includes(type)) {
    const supported = keyTypes.map((one) => `'${one}'`).join(", ");
    throw unprocessable(`Key invalid type, we support ${supported}`);
  }
  const blob = Buffer.from(encoded, "base64");
  const length = blob.length >= 4 ? blob.readUInt32BE(0) : 0;
  if (blob.subarray(4, 4 + length).toString("latin1") !== type) {
    throw unprocessable("Key invalid, the key's data is not of its type");
  }
  return (createHash("md5").update(blob).digest("hex").match(/../g) ?? []).join(":");
}

function sshKeyJson(key: SshKey) {
  return {
    id: key.id,
    fingerprint: key.fingerprint,
    public_key: key.publicKey,
    name: key.name,
  };
}

function accountJson(cloud: Cloud) {
  return {
    droplet_limit: dropletLimit,
    floating_ip_limit: 5,
    reserved_ip_limit: 5,
    volume_limit: 100,
    email: "sandbox@example.com",
    name: "Sandbox",
    uuid: cloud.state.accountUuid,
    email_verified: true,
    status: "active",
    status_message: "",
    team: { uuid: cloud.state.accountUuid, name: "Sandbox" },
  };
}
