import assert from "node:assert/strict";
import { before, test } from "node:test";
import { cloudApi } from "./cloud.ts";
import { TestServer } from "./server.ts";

let alpha: TestServer;
let beta: TestServer;
/** Names that don't tell whose they are; other servers of the sandbox have such ones, too. */
const theirs = new Set<string>();
before(async () => {
  alpha = await TestServer.up("alpha");
  beta = await TestServer.up("beta");
  for (const server of [alpha, beta])
    for (const type of ["volume:Volume", "firewall:Firewall"])
      for (const { outputs } of await server.resources(`digitalocean:index/${type}`))
        theirs.add(String(outputs?.name));
  assert.equal(theirs.size, 4);
});

async function leftOf(domain: string): Promise<string[]> {
  const [{ droplets }, { domains }, { volumes }, { firewalls }, { ssh_keys: keys }] =
    await Promise.all([
      cloudApi.droplets(),
      cloudApi.domains(),
      cloudApi.volumes(),
      cloudApi.firewalls(),
      cloudApi.sshKeys(),
    ]);
  const names = [...droplets, ...domains, ...keys].map(({ name }) => name);
  return [
    ...names.filter((name) => name.endsWith(domain)),
    ...[...volumes, ...firewalls].map(({ name }) => name).filter((name) => theirs.has(name)),
  ];
}

test("`refresh` finds nothing that is other than the state says", async () => {
  const { stdout } = await alpha.stack.refresh();
  assert.doesNotMatch(stdout, /updated|deleted/);
});

test("a server whose machine is already gone is destroyed without a word of it", async () => {
  await cloudApi.deleteDroplet(await alpha.guest());
  await alpha.stack.destroy();
  assert.deepEqual((await alpha.stack.export()).deployment.resources ?? [], []);
  await alpha.stack.remove();
});

test("`destroy` leaves nothing in the cloud", async () => {
  await beta.stack.destroy();
  await beta.stack.remove();
  assert.deepEqual(await leftOf("alpha.example"), []);
  assert.deepEqual(await leftOf("beta.example"), []);
});
