import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { before, suite, test } from "node:test";
import * as pulumi from "@pulumi/pulumi";
import { z } from "zod";
import { sshCommand } from "../../components/outputs.ts";
import { defaults } from "../unit/defaults.ts";
import { missing } from "../unit/server/python.ts";
import { canary, requestedBy, resolved } from "./mock-engine.ts";

const program = z.object({ default: z.record(z.string(), z.unknown()) });

/** The outputs of the whole program, as `up` shows them. */
async function outputsWith(texts: Record<string, string>): Promise<Record<string, unknown>> {
  const given = {
    ...defaults,
    mailDomain: "anna.example",
    adminEmail: "a@elsewhere.example",
    ...texts,
  };
  const full = Object.entries(given).map(([name, text]) => [`mailfruit:${name}`, text]);
  pulumi.runtime.setAllConfig(Object.fromEntries(full));
  // Each import with another query runs the program anew.
  const index = `../../index.ts?${Object.entries(texts).join("&")}`;
  const { result } = await requestedBy(async () => program.parse(await import(index)));
  return result.default;
}

suite("the outputs", () => {
  let outputs: Record<string, unknown> = {};
  before(async () => {
    outputs = await outputsWith({ debug: "true" });
  });

  test("tell where the server is and how a mail client is set up", async () => {
    assert.equal(outputs.mailDomain, "anna.example");
    assert.equal(outputs.serverHostname, "mail.anna.example");
    assert.equal(await resolved(outputs.ipv4), "192.0.2.10");
    assert.equal(await resolved(outputs.ipv6), "2001:db8::10");
    const hosts = JSON.stringify(outputs.clientSettings).match(/mail\.anna\.example","port":\d+/g);
    assert.deepEqual(
      hosts?.map((found) => Number(found.split(":").at(-1))),
      [993, 465, 587, 4190],
    );
    assert.match(String(await resolved(outputs.zoneFile)), /^\$ORIGIN anna\.example\.\n/);
    assert.match(String(await resolved(outputs.ca)), /^certificate /);
    const { hostKey, ...ssh } = z
      .looseObject({ hostKey: z.string() })
      .parse(await resolved(outputs.ssh));
    assert.deepEqual(ssh, { address: "192.0.2.10", port: 22, user: "root" });
    assert.equal(hostKey, await resolved(outputs.sshHostKey));
  });

  test("hide the private key and the test user's password, and nothing else", async () => {
    for (const [name, output] of Object.entries(outputs)) {
      const secret = await pulumi.isSecret(pulumi.output(output));
      assert.equal(secret, name === "sshPrivateKey" || name === "testUser", name);
      if (!secret) assert.ok(!JSON.stringify(await resolved(output)).includes(canary), name);
    }
  });

  test("leave the test user empty without debug", async () => {
    assert.equal((await outputsWith({ debug: "false" })).testUser, null);
  });
});

const noSsh = missing("ssh", "openssh-client");
test("the SSH command is one that ssh understands, pinned to the host key", {
  skip: noSsh,
}, async () => {
  for (const [address, port, hostKey] of [
    ["192.0.2.10", 22, "ssh-ed25519 AAAA+/= a comment"],
    ["2001:db8::10", 2222, "ssh-ed25519 AAAA+/="],
  ] as const) {
    const privateKey = pulumi.secret("x");
    const command = await resolved(
      sshCommand({ address, port, user: "root", hostKey, privateKey }),
    );
    const ssh = String(command).replace(/^.* && ssh /, "ssh -G ");
    const { status, stdout, stderr } = spawnSync("sh", ["-c", ssh], { encoding: "utf8" });
    assert.equal(status, 0, stderr);
    const lines = stdout.split("\n");
    for (const line of [
      `hostname ${address}`,
      `port ${port}`,
      "user root",
      "stricthostkeychecking true",
      "userknownhostsfile /dev/null",
      "knownhostscommand /bin/echo %H ssh-ed25519 AAAA+/=",
    ])
      assert.ok(lines.includes(line), `${line} in ${command}`);
  }
});
