import assert from "node:assert/strict";
import { test } from "node:test";
import { stackOf, withOption } from "../../sandbox/commands/pulumi.ts";
import { chooseGuest, type Guest } from "../../sandbox/guests.ts";
import { newPackages } from "../../sandbox/host-packages.ts";

test("the stack that a pulumi command means is found however it is written", () => {
  assert.equal(stackOf(["up", "-s", "dev"]), "dev");
  assert.equal(stackOf(["up", "-sdev"]), "dev");
  assert.equal(stackOf(["up", "--stack", "dev", "--yes"]), "dev");
  assert.equal(stackOf(["up", "--stack=dev"]), "dev");
  assert.equal(stackOf(["up", "--yes"]), undefined);
  assert.equal(stackOf(["config", "set", "key", "--", "-s"]), undefined);
});

test("an option is added where it still counts as one", () => {
  assert.deepEqual(withOption(["config", "set", "k", "--", "-v"], "-x"), [
    "config",
    "set",
    "k",
    "-x",
    "--",
    "-v",
  ]);
  assert.deepEqual(withOption(["up"], "-x"), ["up", "-x"]);
});

test("apt's simulation tells new packages from upgrades", () => {
  const simulation = `Reading package lists...
Inst mmdebstrap (1.5.7-1 Debian:13.0/stable [all])
Inst systemd [257.5-2] (257.7-1 Debian:13.1/stable [amd64]) []
Inst libnl-3-200 (3.7.0-2 Debian:13.0/stable [amd64])
Conf mmdebstrap (1.5.7-1 Debian:13.0/stable [all])
`;
  assert.deepEqual(newPackages(simulation), ["mmdebstrap", "libnl-3-200"]);
});

const guest = (name: string, droplet = true): Guest => ({
  id: 1,
  name,
  on: true,
  droplet,
  addresses: [],
});
const guests = [guest("dns", false), guest("mail.anna.example"), guest("mail.bert.example")];

test("a guest is found by its name or a part of it", () => {
  assert.equal(chooseGuest(guests, "bert").name, "mail.bert.example");
  assert.equal(chooseGuest([...guests, guest("mail")], "mail").name, "mail");
  assert.equal(chooseGuest(guests, "dns").name, "dns");
});

test("without a name the only droplet is meant", () => {
  assert.equal(chooseGuest(guests.slice(0, 2), undefined).name, "mail.anna.example");
});

test("where no guest or several fit, the error lists their names", () => {
  assert.throws(() => chooseGuest(guests, "mail"), {
    message: 'Several guests fit "mail"; name one of: dns, mail.anna.example, mail.bert.example.',
  });
  assert.throws(() => chooseGuest(guests, "carla"), /^Error: No guest fits "carla"; name one of: /);
  assert.throws(() => chooseGuest([], undefined), /npm run demo/);
});
