import assert from "node:assert/strict";
import { after, before, suite, test } from "node:test";
import { root } from "../../sandbox/paths.ts";
import { lastLines, run } from "../../sandbox/process.ts";
import { byOnion, inTheClear, type Place } from "../scan/place.ts";
import { look } from "../scan/scan.ts";
import { sshHostKey } from "../scan/ssh.ts";
import { inNetwork, joinTor } from "../system/by-tor.ts";
import { TestServer } from "../system/server.ts";

test("nmap, testssl.sh, ssh-audit and dialogues see a plain Debian, but for what is meant", async () => {
  const { code, stderr } = await run(process.execPath, ["test/scan.ts"], { cwd: root });
  assert.equal(code, 0, lastLines(stderr));
});

suite("who knows the onion names of a hidden server", () => {
  let server: TestServer;
  let place: Place;
  before(async () => {
    const tor = await joinTor();
    server = await TestServer.up("hidden-scan", {
      ...inNetwork(tor),
      onionOnly: "all",
      encryptVolume: false,
      dns: "manual",
    });
    const { mailDomain, testUser: login, onion } = server.outputs;
    place = byOnion(tor.socks, onion, { mailDomain, login });
  });

  after(() => server.stack.destroy());

  test("meets the onion name in each greeting and certificate, and no trace of the clear side", async () => {
    const seen = await look(place);
    assert.match(seen["25 greeting"] ?? "", /^220 HOST ESMTP Postfix \(Debian\)$/);
    assert.equal(seen["993 TLS certificate names"], "DNS:HOST");
    const text = JSON.stringify(seen);
    for (const trace of [
      "mail.DOMAIN",
      server.outputs.serverHostname,
      "ADDRESS",
      server.outputs.ipv6,
    ])
      assert.ok(!text.includes(trace), `${trace} stands in ${text}`);
    assert.doesNotMatch(text, /mailfruit/i);
  });

  test("meets a host key that no SSH server in the clear shows", async () => {
    assert.match(await sshHostKey(place), /^SHA256:/);
    await assert.rejects(
      sshHostKey({ ...place, connect: () => clearSsh(server) }),
      /no answer|ECONNREFUSED/,
    );
  });
});

function clearSsh({ outputs }: TestServer) {
  const { ipv4, serverHostname } = outputs;
  return inTheClear(ipv4, serverHostname, { mailDomain: "", login: outputs.testUser }).connect(22);
}
