import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { suite, test } from "node:test";
import { missing } from "./server/python.ts";

const files = join(import.meta.dirname, "..", "..", "files");
const skip = missing("/usr/bin/python3", "python3");

/** Runs Python on the server's own files; what it prints, as JSON. */
function python(program: string, ...args: string[]): unknown {
  const done = spawnSync("/usr/bin/python3", ["-c", program, files, ...args], { encoding: "utf8" });
  assert.equal(done.status, 0, done.stderr);
  return JSON.parse(done.stdout);
}

suite("mail that waits for Tor", { skip }, () => {
  const stuck = (mails: unknown[]) =>
    python(
      `import json, sys
sys.path.insert(0, sys.argv[1] + "/users/usr/local/lib/mailfruit")
from accounts import queue
print(json.dumps(queue.stuck(json.loads(sys.argv[2]), now=1000000)))`,
      JSON.stringify(mails),
    );
  const mail = (hours: number, reason?: string) => ({
    arrival_time: 1000000 - hours * 3600,
    recipients: [{ address: "b@b.example", ...(reason && { delay_reason: reason }) }],
  });
  const byOnion =
    "lost connection with 127.200.7.9[127.200.7.9] while receiving the initial server greeting";

  test("raises the alarm after four hours, with Postfix's reason", () => {
    assert.deepEqual(stuck([mail(5, byOnion)]), [["b@b.example", byOnion]]);
    const dead = "proxy:socketmap:unix:/run/onion-mail/socket:way lookup error";
    assert.deepEqual(stuck([mail(5, dead)]), [["b@b.example", dead]]);
  });

  test("raises none before, and none where somebody else's server is what it waits for", () => {
    assert.deepEqual(stuck([mail(3.9, byOnion)]), []);
    assert.deepEqual(
      stuck([mail(9, "connect to mx.b.example[192.0.2.1]:25: Connection refused")]),
      [],
    );
    assert.deepEqual(stuck([mail(9)]), []);
  });
});

suite("the way of a domain's mail", { skip }, () => {
  /** Answers to Postfix, with peers as the stack has them; nothing is looked up or connected to. */
  const ways = (config: Record<string, unknown>, requests: string[], left: string[] = []) =>
    python(
      `import importlib.machinery, importlib.util, json, sys, types
for name in ("dns", "dns.exception", "dns.resolver", "socks"):
    sys.modules[name] = types.ModuleType(name)
sys.modules["dns"].exception = sys.modules["dns.exception"]
sys.modules["dns"].resolver = sys.modules["dns.resolver"]
path = sys.argv[1] + "/onion-mail/usr/local/lib/mailfruit/onion-mail"
loader = importlib.machinery.SourceFileLoader("onion_mail", path)
module = importlib.util.module_from_spec(importlib.util.spec_from_loader("onion_mail", loader))
loader.exec_module(module)
ways = module.Ways(json.loads(sys.argv[2]))
ways.try_soon = lambda onion: None
module.proven = lambda domain, own: (None, 1)
module.write = lambda known: None
module.address_of = lambda onion: "to " + onion
ways.relays.to = lambda address, host, port: address
for onion in json.loads(sys.argv[4]):
    ways.left[onion] = 1e12
print(json.dumps([module.answer(ways, "way " + key) for key in json.loads(sys.argv[3])]))`,
      JSON.stringify({ asksDns: true, own: "own.onion", ...config }),
      JSON.stringify(requests),
      JSON.stringify(left),
    );
  const byOnion = (onion: string) => `OK smtp-by-tor:[to ${onion}]:10125`;

  test("is the pinned peer's onion name, whatever the letters' case, and no other domain's", () => {
    const peers = { "b.example": { address: "b.onion", only: false } };
    assert.deepEqual(
      ways({ peers }, ["anna@B.example", "b.example", "x@sub.b.example", "*", "root"]),
      [byOnion("b.onion"), byOnion("b.onion"), "NOTFOUND ", "NOTFOUND ", "NOTFOUND "],
    );
  });

  test("is the clear while the onion service is out of reach, but not for a peer by onion only", () => {
    const peers = {
      "b.example": { address: "b.onion", only: false },
      "c.example": { address: "c.onion", only: true },
    };
    assert.deepEqual(ways({ peers }, ["x@b.example", "x@c.example"], ["b.onion", "c.onion"]), [
      "NOTFOUND ",
      byOnion("c.onion"),
    ]);
  });

  test("is none where a peer by onion only has no proven name: its mail waits", () => {
    const peers = { "b.example": { address: null, only: true } };
    assert.deepEqual(ways({ peers }, ["x@b.example"]), [byOnion("unknown.invalid")]);
  });

  test("is proven by a name of the domain itself, and by no other", () => {
    const program = `import json, sys
source = open(sys.argv[1] + "/onion-mail/usr/local/lib/mailfruit/onion-mail").read()
start = source.index("def belongs"); exec(source[start:source.index("def proven")])
print(json.dumps([belongs(name, "b.example") for name in json.loads(sys.argv[2])]))`;
    const names = ["b.example", "mx.b.example", "b.example.evil.example", "xb.example"];
    assert.deepEqual(python(program, JSON.stringify(names)), [true, true, false, false]);
  });
});
