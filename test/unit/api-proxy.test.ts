import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer as createHttp } from "node:http";
import { connect } from "node:net";
import { suite, test } from "node:test";
import { fetchBySocks, socksProxyFor } from "../../sandbox/providers/digitalocean/proxy.ts";
import { FakeTor, portOf } from "./fake-tor.ts";

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
    await once(http.listen(0, "127.0.0.1"), "listening");
    await using tor = await FakeTor.listening(0, (client) => {
      const target = connect(portOf(http), "127.0.0.1");
      client.pipe(target).pipe(client);
    });
    const where = tor.proxy;
    const options = { headers: {}, signal: AbortSignal.timeout(10_000) };
    const url = new URL("http://api.nowhere.example/v2/droplets?page=2");
    const made = await fetchBySocks(where, url, { ...options, method: "POST", body: '{"a":1}' });
    assert.deepEqual([made.status, await made.text()], [201, '{"a":1}']);
    assert.deepEqual(tor.asked, ["api.nowhere.example:80"]);
    http.close();
  });

  test("goes nowhere else where the proxy is down", async () => {
    const dead = await FakeTor.listening(0);
    const where = dead.proxy;
    await dead[Symbol.asyncDispose]();
    const options = { method: "GET", headers: {}, signal: AbortSignal.timeout(10_000) };
    await assert.rejects(fetchBySocks(where, api, options), /ECONNREFUSED/);
  });
});
