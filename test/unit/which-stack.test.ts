import assert from "node:assert/strict";
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, beforeEach, test } from "node:test";
import { mailfruit } from "../../admin/mailfruit.ts";
import { backendUrl } from "../../sandbox/engine/env.ts";
import { selectedStack, stackNamed } from "../../sandbox/which-stack.ts";
import { temporaryFolder } from "./server/temporary.ts";

const home = temporaryFolder("which-stack");
after(() => rmSync(home, { recursive: true }));
beforeEach(() => {
  for (const name of Object.keys(process.env))
    if (name.startsWith("PULUMI_")) delete process.env[name];
  process.env.PULUMI_HOME = home;
});

test("dev is the sandbox's, whatever backend is in use", async () => {
  process.env.PULUMI_BACKEND_URL = "file:///elsewhere";
  assert.deepEqual(await stackNamed("dev"), { name: "dev", own: false });
});

test("without a backend of the user's own, the sandbox's dev is selected", async () => {
  assert.deepEqual(await selectedStack(), { name: "dev", own: false });
  process.env.PULUMI_BACKEND_URL = backendUrl;
  assert.deepEqual(await selectedStack(), { name: "dev", own: false });
  delete process.env.PULUMI_BACKEND_URL;
  writeFileSync(join(home, "credentials.json"), "{}");
  assert.deepEqual(await selectedStack(), { name: "dev", own: false });
});

test("a stack that nobody has is answered with those that are there", async () => {
  await assert.rejects(
    stackNamed("nobodys"),
    /no Pulumi\.nobodys\.yaml; the stacks here are: .*dev/,
  );
});

test("--stack behind the command is refused before anything is sent anywhere", async () => {
  for (const args of [
    ["user", "list", "--stack", "prod"],
    ["user", "list", "--stack=prod"],
  ])
    await assert.rejects(mailfruit(undefined, args), /stands before the command/);
});
