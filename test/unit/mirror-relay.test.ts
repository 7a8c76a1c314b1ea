import assert from "node:assert/strict";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { createServer, request, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { chooseMirrors, chooseProxy } from "../../sandbox/cloud/apt-settings.ts";
import { archivePath, MirrorRelay } from "../../sandbox/cloud/mirror-relay.ts";

const deb = "/debian/pool/main/h/hello/hello_2_amd64.deb";
let asked: string[] = [];
let debs: string;
let upstream: Server;
let relay: MirrorRelay;

const portOf = (server: Server) => (server.address() as AddressInfo).port; // it listens on TCP
const listen = (server: Server) =>
  new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));

before(async () => {
  debs = await mkdtemp(join(tmpdir(), "mailfruit-relay-"));
  upstream = createServer((incoming, answer) => {
    asked.push(incoming.url ?? "");
    if (incoming.url?.includes("moved")) {
      answer.writeHead(302, { location: "/there" }).end();
    } else if (incoming.url?.includes("broken")) {
      answer.writeHead(200, { "content-length": 1000 }).write("half");
      setTimeout(() => answer.destroy(), 20);
    } else {
      answer.writeHead(incoming.headers["if-modified-since"] ? 304 : 200);
      answer.end(incoming.headers["if-modified-since"] ? "" : `content of ${incoming.url}`);
    }
  });
  await listen(upstream);
  const mirror = `http://127.0.0.1:${portOf(upstream)}`;
  relay = new MirrorRelay(debs, { debian: `${mirror}/deb`, security: `${mirror}/sec`, proxy: {} });
  await listen(relay.server);
});

after(async () => {
  await relay.close();
  upstream.close();
  await rm(debs, { recursive: true });
});

/** As apt asks a mirror, or with a whole address, as it asks a proxy. */
function get(path: string, headers = {}): Promise<{ status: number; body: string }> {
  asked = [];
  return new Promise((resolve, reject) => {
    const options = { port: portOf(relay.server), path, headers, agent: false };
    const sent = request(options, (answer) => {
      let body = "";
      answer.on("data", (chunk: Buffer) => {
        body += chunk;
      });
      answer.on("error", reject);
      answer.on("end", () => resolve({ status: answer.statusCode ?? 0, body }));
    });
    sent.on("error", reject).end();
  });
}

test("a package is fetched once and kept, whichever way it is asked for", async () => {
  const content = { status: 200, body: "content of /deb/pool/main/h/hello/hello_2_amd64.deb" };
  assert.deepEqual(await get(deb), content);
  assert.deepEqual(asked, ["/deb/pool/main/h/hello/hello_2_amd64.deb"]);
  assert.deepEqual(await get(`http://deb.debian.org${deb}`), content);
  assert.deepEqual(asked, []);
});

test("indexes are asked for each time, and apt's conditions are passed on", async () => {
  const index = "/debian-security/dists/trixie-security/InRelease";
  assert.equal((await get(index)).status, 200);
  assert.equal((await get(index, { "if-modified-since": "now" })).status, 304);
  assert.deepEqual(asked, ["/sec/dists/trixie-security/InRelease"]);
});

test("a mirror may send elsewhere", async () => {
  assert.equal((await get("/debian/moved")).body, "content of /there");
});

test("half a package isn't kept", async () => {
  await assert.rejects(get("/debian/pool/broken.deb"));
  assert.deepEqual(await readdir(join(debs, "debian/pool")), ["main"]);
});

test("the relay leads nowhere but into Debian's archive", async () => {
  const others = [
    "http://example.org/debian/",
    "/etc/passwd",
    "/debian/../../etc/passwd",
    "/debian/%2e%2e/x",
    "/debian/pool/..%2f..%2fx.deb",
    "https://deb.debian.org/debian/",
  ];
  for (const other of others) assert.equal(archivePath(other), undefined, other);
  assert.equal((await get("http://example.org/debian/")).status, 404);
});

test("a mirror that is away is named in the answer", async () => {
  const settings = { debian: "http://127.0.0.1:1", security: "http://127.0.0.1:1", proxy: {} };
  const lonely = new MirrorRelay(debs, settings);
  await listen(lonely.server);
  const answer = await fetch(`http://127.0.0.1:${portOf(lonely.server)}/debian/x`);
  assert.equal(answer.status, 502);
  assert.match(await answer.text(), /http:\/\/127\.0\.0\.1:1: .*ECONNREFUSED/);
  await lonely.close();
});

test("mirrors are found by label, or by address before apt's first update", () => {
  const labelled = ["Docker|https://docker.example/debian/", "Debian|http://a.example/mirror/"];
  assert.deepEqual(
    chooseMirrors(labelled, (uri) => uri),
    { debian: "http://a.example/mirror/", security: undefined },
  );
  const bare = ["|https://a.example/debian", "|http://b.example/debian-security/"];
  assert.deepEqual(
    chooseMirrors(bare, (uri) => uri),
    { debian: "https://a.example/debian", security: "http://b.example/debian-security/" },
  );
});

test("apt's proxy goes before the environment's, and DIRECT means none", () => {
  const environment = { http_proxy: "http://env:1", no_proxy: "localhost" };
  assert.deepEqual(chooseProxy('Acquire::http::Proxy "http://apt:2";', environment), {
    http_proxy: "http://apt:2",
    https_proxy: "http://apt:2",
    no_proxy: "localhost",
  });
  assert.deepEqual(chooseProxy('Acquire::http::Proxy::near.example "DIRECT";', environment), {
    http_proxy: "http://env:1",
    no_proxy: "localhost,near.example",
  });
  assert.deepEqual(chooseProxy('Acquire::http::Proxy "DIRECT";', {}), {});
});
