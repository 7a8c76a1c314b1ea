// Every `pulumi up`, also one without changes, starts each plugin and waits for it. What a plugin
// loads before it prints its port is most of that time, so this is what is watched; the time itself,
// which hangs on the machine's load, is only shown.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { glob } from "node:fs/promises";
import { basename, join } from "node:path";
import { test } from "node:test";
import { root } from "../../sandbox/paths.ts";

/** Prints the URL of each module as it is loaded. */
const hook = `data:text/javascript,
  import { registerHooks } from "node:module";
  import { writeSync } from "node:fs";
  registerHooks({ load(url, context, next) { writeSync(2, url + "\\n"); return next(url, context); } });`;

/** Starts a plugin until it prints its port: packages loaded by then, and milliseconds. */
async function start(file: string): Promise<{ modules: string[]; milliseconds: number }> {
  const began = performance.now();
  const child = spawn(process.execPath, ["--import", hook, file, "127.0.0.1:1"]);
  let loaded = "";
  child.stderr.on("data", (chunk) => {
    loaded += String(chunk);
  });
  await once(child.stdout, "data", { signal: AbortSignal.timeout(20_000) });
  const milliseconds = Math.round(performance.now() - began);
  child.kill("SIGKILL");
  await once(child, "close");
  const modules = loaded.split("\n").flatMap((url) => url.split("/node_modules/").at(-1) ?? []);
  return { modules: modules.filter((name) => !/^(node:|file:|data:|$)/.test(name)), milliseconds };
}

/** gRPC (with a package of its own) and Pulumi's messages. */
const allowed = /^(@grpc\/grpc-js|@js-sdsl|google-protobuf|@pulumi\/pulumi\/proto)\//;

for await (const file of glob(join(root, "sandbox", "providers", "*.ts"))) {
  const name = basename(file, ".ts");
  if (name === "kit") continue;
  test(`the ${name} plugin starts with no more than gRPC loaded`, async (t) => {
    const { modules, milliseconds } = await start(file);
    t.diagnostic(`${name}: ${milliseconds} ms to its port, ${modules.length} modules`);
    assert.ok(modules.length > 0, "the hook saw nothing");
    assert.deepEqual(
      modules.filter((module) => !allowed.test(module)),
      [],
    );
  });
}
