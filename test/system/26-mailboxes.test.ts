// Mailboxes that the stack's configuration declares, on a server that has others.
import assert from "node:assert/strict";
import { before, test } from "node:test";
import { z } from "zod";
import type { ConfigValue } from "../../sandbox/stack-config.ts";
import { TestServer } from "./server.ts";

let alpha: TestServer;
before(async () => {
  alpha = await TestServer.up("alpha");
  await alpha.run("mailfruit user add own@alpha.example --password-stdin", "correct horse battery");
});

const lists = z.object({
  users: z.array(z.object({ address: z.string(), quota_mib: z.number(), state: z.string() })),
});

/** What an `up` with these mailboxes leaves on the server: "ADDRESS QUOTA STATE" of those that have one of the names. */
async function upWith(mailboxes: Record<string, ConfigValue>): Promise<string[]> {
  await TestServer.up("alpha", { mailboxes });
  const { users } = lists.parse(JSON.parse(await alpha.run("mailfruit user list --json")));
  return users
    .filter(({ address }) => /^(own|dora|emil)@/.test(address))
    .map(({ address, quota_mib, state }) => `${address} ${quota_mib} ${state}`)
    .sort();
}

const own = "own@alpha.example 1024 open";

test("a declared mailbox is made and waits for its owner, with its quota and aliases; others are left alone", async () => {
  const found = await upWith({
    "dora@alpha.example": { quota: 64, aliases: ["shop@alpha.example"] },
    "emil@alpha.example": {},
  });
  assert.deepEqual(found, [
    "dora@alpha.example 64 invited",
    "emil@alpha.example 1024 invited",
    own,
  ]);
  assert.match(
    await alpha.run("mailfruit alias list"),
    /^shop@alpha\.example\tdora@alpha\.example\tstack$/m,
  );
});

test("one that is taken out stays, and a quota that isn't given stays as well", async () => {
  await alpha.run("mailfruit user quota emil@alpha.example 77");
  const found = await upWith({ "emil@alpha.example": {} });
  assert.deepEqual(found, ["dora@alpha.example 64 invited", "emil@alpha.example 77 invited", own]);
  assert.doesNotMatch(await alpha.run("mailfruit alias list"), /shop@/);
});

test("one goes only by delete: true with a note on its backup", async () => {
  const gone = { delete: true, backup: "nothing ever came" };
  assert.deepEqual(await upWith({ "dora@alpha.example": gone, "emil@alpha.example": gone }), [own]);
  await alpha.run("mailfruit user delete own@alpha.example --with-mail");
});
