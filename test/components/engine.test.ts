import assert from "node:assert/strict";
import { test } from "node:test";
import { engine } from "../../sandbox/engine/cli.ts";
import { plugins } from "../../sandbox/engine/plugins.ts";
import { type CommandResult, Stack } from "../../sandbox/stack.ts";

const cannotRun = await whyNot();

/** The rest of the settings is tested without an engine; here it's what the engine makes of a stack's file. */
async function whyNot(): Promise<string | false> {
  try {
    await engine();
  } catch {
    return "There is no Pulumi engine here yet: npm run sandbox -- setup.";
  }
  const missing = (await plugins()).some(({ origin }) => origin === "missing");
  return missing && "Provider plugins are missing: npm run sandbox -- setup.";
}

/** Previews a stack with this configuration, which has to be refused. */
async function refused(
  name: string,
  config: Record<string, string | number | boolean>,
  secrets: Record<string, string> = {},
): Promise<CommandResult> {
  const stack = await Stack.open(name, { config });
  try {
    for (const [key, value] of Object.entries(secrets))
      await stack.set(key, value, { secret: true });
    const result = await stack.preview({ allowFailure: true });
    assert.notEqual(result.code, 0, result.stdout);
    return result;
  } finally {
    await stack.remove({ force: true });
  }
}

/** The keys that the engine's output complains about. */
const complaints = ({ stdout, stderr }: CommandResult) =>
  [...`${stdout}\n${stderr}`.matchAll(/^ *((?:mailfruit|mailfriut):\w+): /gm)].map(
    (found) => found[1],
  );

test("the engine gives every setting its default: what is missing is only what has none", {
  skip: cannotRun,
}, async () => {
  const result = await refused("settings-defaults", {});
  assert.deepEqual(complaints(result), ["mailfruit:mailDomain", "mailfruit:adminEmail"]);
  assert.match(result.stdout + result.stderr, /pulumi config set mailDomain example\.org/);
});

test("the engine passes wrong values, types and keys on, so that all are reported together", {
  skip: cannotRun,
}, async () => {
  const result = await refused("settings-wrong", {
    mailDomain: "anna.example",
    adminEmail: "anna@elsewhere.example",
    debug: true,
    mailVolumeSize: 12.5,
    sshPort: 70000,
    mailDomian: "x",
    "mailfriut:debug": true,
  });
  assert.deepEqual(complaints(result).sort(), [
    "mailfriut:debug",
    "mailfruit:mailDomian",
    "mailfruit:mailVolumeSize",
    "mailfruit:sshPort",
    "mailfruit:sshPort",
  ]);
  assert.match(result.stdout + result.stderr, /nothing was changed/);
});

test("the engine tells a secret from plain text, and nothing of a secret is shown", {
  skip: cannotRun,
}, async () => {
  const canary = "canary-in-a-secret";
  const config = {
    mailDomain: "anna.example",
    adminEmail: "a@elsewhere.example",
    machine: "existing",
  };
  const asSecret = await refused("settings-secret", config, { sshPrivateKey: canary });
  assert.doesNotMatch(asSecret.stdout + asSecret.stderr, new RegExp(canary));
  assert.doesNotMatch(asSecret.stdout + asSecret.stderr, /stands in plain text/);
  const inPlain = await refused("settings-plain", { ...config, sshPrivateKey: canary });
  assert.match(
    inPlain.stdout + inPlain.stderr,
    /sshPrivateKey: is a secret and stands in plain text/,
  );
  assert.doesNotMatch(inPlain.stdout + inPlain.stderr, new RegExp(canary));
});
