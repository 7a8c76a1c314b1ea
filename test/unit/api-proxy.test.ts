import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer as createHttp } from "node:http";
import { connect, createServer, type Server } from "node:net";
import { suite, test } from "node:test";
import { fetchBySocks, socksProxyFor } from "../../sandbox/providers/digitalocean/proxy.ts";

const api = new URL("https://api.digitalocean.com/v2/droplets");
const proxy = "socks5h://127.0.0.1:9050";

suite("DigitalOcean's API by Tor", () => {
  test("goes by the proxy of HTTPS_PROXY, as the real provider's does", () => {
    const here = { host: "127.0.0.1", port: 9050 };
    assert.deepEqual(socksProxyFor(api, { HTTPS_PROXY: proxy }), here);
    assert.deepEqual(socksProxyFor(api, { https_proxy: "socks5://127.0.0.1:9050" }), here);
    assert.equal(socksProxyFor(api, { HTTP_PROXY: proxy }), undefined);
    assert.equal(socksProxyFor(api, { HTTPS_PROXY: "http://127.0.0.1:3128" }), undefined);
    assert.equal(socksProxyFor(api, {}), undefined);
    assert.equal(
      socksProxyFor(api, { HTTPS_PROXY: proxy, NO_PROXY: "digitalocean.com" }),
      undefined,
    );
  });

  test("never where the API is on this machine, as the sandbox's is", () => {
    for (const url of ["http://127.0.0.1:8080/", "http://localhost/", "http://[::1]/"])
      assert.equal(socksProxyFor(new URL(url), { HTTP_PROXY: proxy }), undefined);
  });

  test("comes back whole, with its status, and only the proxy looks the name up", async () => {
    const http = createHttp((request, response) => {
      response.statusCode = request.method === "POST" ? 201 : 404;
      request.pipe(response);
    });
    const asked: string[] = [];
    const socks = createServer((client) =>
      client.once("data", () => {
        client.write(Buffer.from([5, 0]));
        client.once("data", (request) => {
          asked.push(request.subarray(5, 5 + request.readUInt8(4)).toString());
          const target = connect(portOf(http), "127.0.0.1");
          client.write(Buffer.from([5, 0, 0, 1, 0, 0, 0, 0, 0, 0]));
          client.pipe(target).pipe(client);
        });
      }),
    );
    for (const server of [http, socks]) await once(server.listen(0, "127.0.0.1"), "listening");
    const where = { host: "127.0.0.1", port: portOf(socks) };
    const options = { headers: {}, signal: AbortSignal.timeout(10_000) };
    const url = new URL("http://api.nowhere.example/v2/droplets?page=2");
    const made = await fetchBySocks(where, url, { ...options, method: "POST", body: '{"a":1}' });
    assert.deepEqual([made.status, await made.text()], [201, '{"a":1}']);
    assert.deepEqual(asked, ["api.nowhere.example"]);
    for (const server of [http, socks]) server.close();
  });

  test("goes nowhere else where the proxy is down", async () => {
    const dead = createServer();
    await once(dead.listen(0, "127.0.0.1"), "listening");
    const where = { host: "127.0.0.1", port: portOf(dead) };
    dead.close();
    await once(dead, "close");
    const options = { method: "GET", headers: {}, signal: AbortSignal.timeout(10_000) };
    await assert.rejects(fetchBySocks(where, api, options), /ECONNREFUSED/);
  });
});

function portOf(server: Server): number {
  const address = server.address();
  assert.ok(address !== null && typeof address === "object");
  return address.port;
}
