import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import grpc from "@grpc/grpc-js";
import type * as services from "@pulumi/pulumi/proto/language_grpc_pb.js";
import languageServices from "@pulumi/pulumi/proto/language_grpc_pb.js";
import type * as messageTypes from "@pulumi/pulumi/proto/language_pb.js";
import messages from "@pulumi/pulumi/proto/language_pb.js";
import struct from "google-protobuf/google/protobuf/struct_pb.js";
import { root } from "../../sandbox/paths.ts";

const script = join(root, "sandbox", "engine", "language-nodejs.ts");
let host: ChildProcess;
let client: services.LanguageRuntimeClient;

before(async () => {
  host = spawn(process.execPath, [script, "127.0.0.1:1"], { stdio: ["ignore", "pipe", "inherit"] });
  assert.ok(host.stdout);
  const [port] = await once(createInterface(host.stdout), "line");
  client = new languageServices.LanguageRuntimeClient(
    `127.0.0.1:${port}`,
    grpc.credentials.createInsecure(),
  );
});

after(() => {
  client.close();
  host.kill();
});

type Done<Response> = (error: grpc.ServiceError | null, response: Response) => void;

/** A call of the host as a promise. */
function call<Response>(start: (done: Done<Response>) => void): Promise<Response> {
  return new Promise((resolve, reject) => {
    start((error, response) => (error ? reject(error) : resolve(response)));
  });
}

function program(options: Record<string, struct.JavaScriptValue>) {
  return new messages.ProgramInfo()
    .setRootDirectory(root)
    .setProgramDirectory(root)
    .setEntryPoint("index.ts")
    .setOptions(struct.Struct.fromJavaScript(options));
}

test("the engine hears which plugins the program needs, in the versions of its SDKs", async () => {
  const request = new messages.GetRequiredPackagesRequest().setInfo(program({}));
  const response = await call<messageTypes.GetRequiredPackagesResponse>((done) =>
    client.getRequiredPackages(request, done),
  );
  assert.deepEqual(
    response
      .getPackagesList()
      .map((one) => `${one.getKind()} ${one.getName()} ${one.getVersion()}`),
    ["resource command v1.2.1", "resource digitalocean v4.80.1", "resource tls v5.6.1"],
  );
});

test("an option that the stand-in doesn't know is refused, not ignored", async () => {
  const request = new messages.RunRequest()
    .setPwd(root)
    .setInfo(program({ nodeargs: "--inspect" }));
  const response = await call<messageTypes.RunResponse>((done) => client.run(request, done));
  assert.match(response.getError(), /runtime\.options.*nodeargs/s);
});

test("a host whose engine was killed ends by itself", async (t) => {
  const engine = spawn("sh", [
    "-c",
    `'${process.execPath}' '${script}' 127.0.0.1:1 & echo $!; wait`,
  ]);
  const lines = createInterface(engine.stdout);
  const [pid] = await once(lines, "line");
  t.after(() => isAlive() && process.kill(Number(pid)));
  await once(lines, "line"); // its port: it is up
  engine.kill("SIGKILL");
  // What has ended may stay as a zombie until whoever inherited it looks (proc_pid_stat(5), state).
  const isAlive = () => {
    try {
      return !/\) [ZX] /.test(readFileSync(`/proc/${pid}/stat`, "utf8"));
    } catch {
      return false;
    }
  };
  for (let tries = 0; tries < 300 && isAlive(); tries += 1) await sleep(100);
  assert.equal(isAlive(), false);
});
