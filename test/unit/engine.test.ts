import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { BuildProgress } from "../../sandbox/engine/build-progress.ts";
import { isRecentGo } from "../../sandbox/engine/cli.ts";
import { enginePath, isOwn, noProxyWithLoopback } from "../../sandbox/engine/env.ts";
import { nodeWrapper, shellQuote } from "../../sandbox/engine/wrapper.ts";
import { paths, root } from "../../sandbox/paths.ts";
import { mustRun } from "../../sandbox/process.ts";

const bin = join(root, "node_modules", ".bin");

test("the built engine comes before whatever else the PATH has", () => {
  assert.equal(enginePath("/usr/bin:/bin", false), `${bin}:${paths.engine}:/usr/bin:/bin`);
});

test("an official engine on the PATH is not hidden by a built one", () => {
  assert.equal(enginePath(`${paths.engine}:/opt/pulumi:/bin`, true), `${bin}:/opt/pulumi:/bin`);
});

test("a PATH that was pointed at the sandbox already does not grow", () => {
  const once = enginePath("/bin", false);
  assert.equal(enginePath(once, false), once);
});

test("the user's own Pulumi, cloud account and SSH agent stay out of the sandbox", () => {
  for (const name of [
    "PULUMI_ACCESS_TOKEN",
    "PULUMI_CONFIG_PASSPHRASE",
    "DIGITALOCEAN_TOKEN",
    "SPACES_ACCESS_KEY_ID",
    "SSH_AUTH_SOCK",
  ]) {
    assert.equal(isOwn(name), true, name);
  }
  for (const name of ["PATH", "HOME", "LANG", "https_proxy", "MY_PULUMI_X"]) {
    assert.equal(isOwn(name), false, name);
  }
});

test("a proxy of the machine does not come between the engine and its plugins", () => {
  assert.equal(noProxyWithLoopback(undefined), "127.0.0.1,localhost");
  assert.equal(noProxyWithLoopback("example.org,localhost"), "example.org,localhost,127.0.0.1");
});

test("Go 1.26 and newer builds the engine, older doesn't", () => {
  for (const version of ["go1.26", "go1.26.8", "go1.27rc1", "go2.0"]) {
    assert.equal(isRecentGo(version), true, version);
  }
  for (const version of ["go1.25.9", "go1.9", "devel", ""]) {
    assert.equal(isRecentGo(version), false, version);
  }
});

test("while the engine is built, each line says how far it is", () => {
  const progress = new BuildProgress();
  assert.equal(
    progress.line("go: downloading github.com/pulumi/esc v0.19.0"),
    "Downloading Go modules: 1 (github.com/pulumi/esc)",
  );
  progress.expect(4);
  assert.equal(progress.line("internal/goarch"), "Compiling the Pulumi CLI: 1 of 4 packages, 25 %");
  assert.equal(
    progress.line("github.com/pulumi/pulumi/pkg/v3/cmd/pulumi"),
    "Compiling the Pulumi CLI: 2 of 4 packages, 50 %",
  );
});

test("a compiler's error is shown as it is and counts as no package", () => {
  const progress = new BuildProgress();
  progress.expect(2);
  assert.equal(progress.line("x.go:3:1: syntax error"), "x.go:3:1: syntax error");
  assert.equal(progress.line("fmt"), "Compiling the Pulumi CLI: 1 of 2 packages, 50 %");
});

test("a checkout may lie in a folder with blanks and quotes", async () => {
  for (const word of ["/a b/c", "it's", '"$HOME"', "a\\b"]) {
    assert.equal(await mustRun("sh", ["-c", `printf %s ${shellQuote(word)}`]), word);
  }
  const [first, second] = nodeWrapper("/x y.ts").split("\n");
  assert.equal(first, "#!/bin/sh");
  assert.match(second ?? "", /^exec '\/.*\/node' .*'\/x y\.ts' "\$@"$/);
});
