import assert from "node:assert/strict";
import { once } from "node:events";
import { access, readdir, readFile, rm } from "node:fs/promises";
import { createConnection, createServer } from "node:net";
import { join } from "node:path";
import { after, before, test } from "node:test";
import ssh from "ssh2";
import { stringify } from "yaml";
import { command, waitUntil } from "../../sandbox/cloud/command.ts";
import { requireHostCommands } from "../../sandbox/cloud/host.ts";
import type { FirewallRules } from "../../sandbox/cloud/hypervisor.ts";
import type { Plan } from "../../sandbox/cloud/network.ts";
import { NspawnHypervisor } from "../../sandbox/cloud/nspawn.ts";
import { inGuest } from "../../sandbox/cloud/shell.ts";
import { sandboxDir } from "../../sandbox/paths.ts";

/** A sandbox of its own, beside one that may be in use. Images and packages are shared. */
const dir = join(sandboxDir, "test-hypervisor");
const unable = await requireHostCommands().then(
  () => false,
  (error: Error) => error.message,
);
const options = { skip: unable, timeout: 180_000 };

const user = ssh.utils.generateKeyPairSync("ed25519");
const host = ssh.utils.generateKeyPairSync("ed25519");
let hypervisor = new NspawnHypervisor({ dir });
let plan: Plan;
const guests = [
  { id: 101, name: "one.example.org", ipv4: "", ipv4Private: "", ipv6: "" },
  { id: 102, name: "two.example.org", ipv4: "", ipv4Private: "", ipv6: "" },
] as const;
const [one, two] = guests;

const inside = (guest: { id: number }, script: string) =>
  inGuest(guest.id, ["bash", "-euc", script], { dir });
const works = (guest: { id: number }, script: string) =>
  inside(guest, script).then(
    () => true,
    () => false,
  );

before(
  async () => {
    if (unable) return;
    await takeAway();
    hypervisor = new NspawnHypervisor({ dir });
    await hypervisor.start();
    plan = await hypervisor.plan();
    for (const guest of guests) Object.assign(guest, await hypervisor.allocateAddresses());
  },
  { ...options, timeout: 900_000 },
); // the first run makes the image

after(async () => {
  if (!unable) await takeAway();
}, options);

/** Also what an interrupted run left. */
async function takeAway(): Promise<void> {
  if (await exists(dir)) await new NspawnHypervisor({ dir }).stop();
  await rm(dir, { recursive: true, force: true });
}

test(
  "a droplet boots with its name, its user_data and its SSH keys, host key included",
  options,
  async () => {
    await Promise.all(guests.map(create));
    assert.equal(
      await overSsh(one.ipv4, "hostname --fqdn; cat /from-user-data"),
      "one.example.org\nhello\n",
    );
    assert.match(await inside(one, "cloud-init status --wait"), /status: done/);
    assert.equal(await inside(one, "cat /ran"), "yes\n");
    assert.equal((await inside(one, "systemctl --failed --no-legend")).trim(), "");
  },
);

test("SSH takes the account's key alone, and over IPv6 as well", options, async () => {
  assert.equal(await overSsh(one.ipv6, "id -un"), "root\n");
  const stranger = ssh.utils.generateKeyPairSync("ed25519").private;
  await assert.rejects(overSsh(one.ipv4, "true", { privateKey: stranger }), /authentication/);
  await assert.rejects(overSsh(one.ipv4, "true", { hostKey: user.public }), /Host denied/);
});

test(
  "droplets reach each other by IPv4, by private address, by IPv6 and by name",
  options,
  async () => {
    await hypervisor.setZones([
      {
        name: "example.org",
        records: guests.flatMap((guest) => [
          { name: guest.name, type: "A", ttl: 60, data: guest.ipv4 },
          { name: guest.name, type: "AAAA", ttl: 60, data: guest.ipv6 },
        ]),
      },
      {
        name: `${plan.number}.10.in-addr.arpa`,
        records: [{ name: reverse(two.ipv4), type: "PTR", ttl: 60, data: `${two.name}.` }],
      },
    ]);
    for (const address of [two.ipv4, two.ipv4Private, two.ipv6]) {
      await inside(one, `ping -c1 -W2 ${address}`);
    }
    assert.match(await inside(one, `getent ahostsv4 ${two.name}`), new RegExp(`^${two.ipv4} `));
    assert.match(await inside(one, `getent ahostsv6 ${two.name}`), new RegExp(`^${two.ipv6} `));
    assert.match(await inside(one, `getent hosts ${two.ipv4}`), new RegExp(`${two.name}`));
  },
);

test("a changed record is answered at once, a removed zone no longer", options, async () => {
  const record = { name: "www.example.net", type: "A", ttl: 3600, data: "192.0.2.1" };
  await hypervisor.setZones([{ name: "example.net", records: [record] }]);
  assert.match(await inside(one, "getent ahostsv4 www.example.net"), /^192\.0\.2\.1 /);
  assert.equal(await works(one, `getent hosts ${two.name}.`), false);
  await hypervisor.setZones([{ name: "example.net", records: [{ ...record, data: "192.0.2.2" }] }]);
  assert.match(await inside(one, "getent ahostsv4 www.example.net"), /^192\.0\.2\.2 /);
});

test("apt gets Debian's packages", options, async () => {
  await inside(one, "apt-get -o APT::Update::Error-Mode=any update");
  await inside(one, "apt-get install --yes --no-install-recommends netcat-traditional");
});

test("a droplet reaches nothing else: neither the machine nor the world", options, async (t) => {
  const connects = (address: string, port: number) =>
    works(one, `timeout 2 bash -c '</dev/tcp/${address}/${port}'`);
  assert.equal(await connects(two.ipv4, 22), true, "the check itself doesn't work");
  const listener = createServer().listen(0, plan.host.ipv4);
  t.after(() => listener.close());
  await once(listener, "listening");
  const address = listener.address();
  assert.ok(address && typeof address === "object");
  assert.equal(await opens(plan.host.ipv4, address.port), true, "the check itself doesn't work");
  assert.equal(await connects(plan.host.ipv4, address.port), false);
  for (const elsewhere of ["192.0.2.1", "1.1.1.1"]) {
    assert.equal(await connects(elsewhere, 80), false);
    assert.equal(await connects(elsewhere, 53), false);
  }
  assert.equal(await works(one, "getent hosts www.debian.org"), false);
});

test("a droplet can't send from another's address", options, async () => {
  const pingFrom = (address: string) =>
    works(one, `ip addr replace ${address}/32 dev eth0; ping -c1 -W1 -I ${address} ${two.ipv4}`);
  const received = async () => Number(await inside(two, countPings));
  const before = await received();
  assert.equal(await pingFrom(one.ipv4), true);
  assert.equal(await received(), before + 1);
  assert.equal(await pingFrom(plan.resolver.ipv4), false);
  assert.equal(await received(), before + 1);
  await inside(one, `ip addr delete ${plan.resolver.ipv4}/32 dev eth0`);
});

test(
  "a firewall closes a port for the machine and for droplets, and opens it again",
  options,
  async () => {
    const session = await login(two.ipv4);
    assert.equal(await run(session, "echo before"), "before\n");
    await hypervisor.setFirewall(two.id, only("icmp", "all"));
    assert.equal(await run(session, "echo the session lives"), "the session lives\n");
    assert.equal(await opens(two.ipv4, 22), false);
    assert.equal(await works(one, `timeout 2 bash -c '</dev/tcp/${two.ipv6}/22'`), false);
    await inside(one, `ping -c1 -W2 ${two.ipv4}`);
    await hypervisor.setFirewall(two.id, only("tcp", "20-22"));
    assert.equal(await opens(two.ipv4, 22), true);
    assert.equal(await works(one, `ping -c1 -W1 ${two.ipv4}`), false);
    assert.equal(await works(two, `ping -c1 -W1 ${one.ipv4}`), false, "no rule lets anything out");
    assert.equal(await run(session, "echo and lives"), "and lives\n");
    session.destroy();
    await hypervisor.setFirewall(two.id, null);
    assert.equal(await works(two, `ping -c1 -W1 ${one.ipv4}`), true);
  },
);

test(
  "a volume is mounted by its name, and can be pulled while in use without harm to its data",
  options,
  async () => {
    await hypervisor.createVolume({
      id: "volume-1",
      name: "mail",
      gigabytes: 1,
      filesystemType: "ext4",
      filesystemLabel: "mail",
    });
    await hypervisor.attachVolume("volume-1", two.id);
    await inside(
      two,
      `mkdir /srv/mail; mount ${mailDevice} /srv/mail; echo kept >/srv/mail/file; ${writer}`,
    );
    assert.match(await inside(two, `blkid ${mailDevice}`), /LABEL="mail".*TYPE="ext4"/);
    await hypervisor.detachVolume("volume-1");
    assert.equal(await works(two, "cat /srv/mail/file"), false);
    assert.equal(await works(two, `test -e ${mailDevice}`), false);
    const isCutOff = async () => !(await works(two, "systemctl is-active writer"));
    assert.ok(await waitUntil(isCutOff, 5), "the first droplet can still write");
    await hypervisor.attachVolume("volume-1", one.id);
    assert.equal(await inside(one, `mount ${mailDevice} /mnt; cat /mnt/file`), "kept\n");
    await inside(one, "umount /mnt");
  },
);

test("a volume grows while it is attached", options, async () => {
  await hypervisor.resizeVolume("volume-1", 2);
  assert.equal(
    (await inside(one, `blockdev --getsize64 ${mailDevice}`)).trim(),
    String(2 * 2 ** 30),
  );
});

test(
  "a reboot inside a droplet keeps its disk, its addresses and its volume",
  options,
  async () => {
    const bootedAt = "systemctl show --property=UserspaceTimestampMonotonic";
    await inside(one, `${mountUnit}; echo kept >/root/file`);
    const before = await inside(one, bootedAt);
    const openShell = inside(one, "sleep 600").catch(() => {});
    await inside(one, "systemctl reboot").catch(() => {});
    const isBack = async () => (await inside(one, bootedAt).catch(() => before)) !== before;
    assert.ok(await waitUntil(isBack, 30), "it doesn't come back");
    await openShell;
    assert.ok(await waitUntil(() => opens(one.ipv4, 22), 20));
    assert.equal(await overSsh(one.ipv4, "cat /root/file /srv/mail/file"), "kept\nkept\n");
  },
);

test("a reserved address leads to the droplet that has it", options, async () => {
  const address = await hypervisor.allocateReservedIp();
  assert.equal(await opens(address, 22), false);
  await hypervisor.assignReservedIp(address, one.id);
  assert.equal(await overSsh(address, "hostname"), "one\n");
  assert.equal(await works(two, `timeout 2 bash -c '</dev/tcp/${address}/22'`), true);
  await hypervisor.assignReservedIp(address, two.id);
  assert.equal(await overSsh(address, "hostname"), "two\n");
  await hypervisor.assignReservedIp(address, null);
  assert.equal(await opens(address, 22), false);
});

test("a droplet that powers itself off stays off until it is powered on", options, async () => {
  await inside(two, "systemctl poweroff").catch(() => {});
  assert.ok(await waitUntil(async () => !(await hypervisor.isOn(two.id)), 30));
  await restart();
  assert.equal(await hypervisor.isOn(two.id), false);
  await hypervisor.powerOn(two.id);
  assert.equal(await overSsh(two.ipv4, "hostname"), "two\n");
  await hypervisor.powerOff(two.id, "graceful");
  assert.equal(await hypervisor.isOn(two.id), false);
  await hypervisor.powerOn(two.id);
});

test("droplets live on while the cloud is restarted, and apt works after it", options, async () => {
  const session = await login(one.ipv4);
  await restart();
  assert.equal(await run(session, "echo the session lives"), "the session lives\n");
  session.destroy();
  await inside(one, "apt-get -o APT::Update::Error-Mode=any update");
});

test(
  "after a stop, those that were on boot again with their volumes and firewalls",
  options,
  async () => {
    await hypervisor.setFirewall(two.id, only("icmp", "all"));
    await hypervisor.powerOff(two.id, "hard");
    await hypervisor.stop();
    assert.deepEqual(await leftOnTheMachine(), []);
    await hypervisor.start();
    assert.equal(await overSsh(one.ipv4, "cat /srv/mail/file"), "kept\n");
    assert.equal(await hypervisor.isOn(two.id), false);
    await hypervisor.powerOn(two.id);
    assert.equal(await opens(two.ipv4, 22), false);
    await hypervisor.setFirewall(two.id, null);
  },
);

test("after a crash of the machine, droplets boot again with their volumes", options, async () => {
  await hypervisor.close();
  const processes = (await command("ps", ["-eo", "pid,args"])).split("\n");
  const ours = processes
    .filter((line) => line.includes(dir))
    .map((line) => Number.parseInt(line, 10));
  for (const pid of ours) process.kill(pid, "SIGKILL");
  await command("ip", ["netns", "delete", plan.namespace]);
  hypervisor = new NspawnHypervisor({ dir });
  await hypervisor.start();
  assert.equal(await overSsh(one.ipv4, "cat /srv/mail/file"), "kept\n");
  assert.equal(await overSsh(two.ipv4, "hostname"), "two\n");
});

test("a rebuilt droplet is fresh, with the same user_data and addresses", options, async () => {
  await inside(two, "touch /old");
  await hypervisor.rebuildGuest(two.id, "debian-13-x64");
  assert.equal(
    await overSsh(two.ipv4, "ls /old 2>&1; cat /from-user-data"),
    "ls: cannot access '/old': No such file or directory\nhello\n",
  );
});

test("a volume outlives its droplet, of which nothing is left", options, async () => {
  await hypervisor.destroyGuest(one.id);
  assert.deepEqual(await readdir(join(dir, "guests")), ["0", String(two.id)]);
  await hypervisor.attachVolume("volume-1", two.id);
  assert.equal(await inside(two, `mount ${mailDevice} /mnt; cat /mnt/file`), "kept\n");
  await hypervisor.destroyGuest(two.id);
  await hypervisor.destroyGuest(two.id);
  await hypervisor.destroyVolume("volume-1");
  assert.deepEqual(await readdir(join(dir, "volumes")), []);
});

test("a droplet that can't be made says why and leaves nothing", options, async () => {
  await assert.rejects(
    create({ ...one, image: "ubuntu-24-04-x64" }),
    /no image "ubuntu-24-04-x64"/,
  );
  assert.deepEqual(await readdir(join(dir, "guests")), ["0"]);
});

test("what the cloud was given is readable by root alone", options, async () => {
  await create(one);
  const open = await command("find", [dir, "-maxdepth", "1", "-perm", "/077"]);
  assert.equal(open.trim(), "");
  const shown = await command("ps", ["-eo", "args"]);
  assert.ok(!shown.includes("PRIVATE KEY"));
});

test("a stop leaves nothing on the machine", options, async () => {
  assert.ok((await leftOnTheMachine()).length > 0, "the check itself doesn't work");
  await hypervisor.stop();
  assert.deepEqual(await leftOnTheMachine(), []);
});

const countPings = "nstat --ignore --zeros IcmpInEchos | awk '/IcmpInEchos/ { print $2 }'";

/** Writes to the volume for as long as it can. */
const writer = `systemd-run --quiet --unit=writer bash -c \\
  'exec 5>>/srv/mail/log; while echo x >&5; do sleep 0.05; done'`;

const mailDevice = "/dev/disk/by-id/scsi-0DO_Volume_mail";

const mountUnit = `mkdir -p /srv/mail; cat >/etc/systemd/system/srv-mail.mount <<END
[Mount]
What=${mailDevice}
Where=/srv/mail
Type=ext4
[Install]
WantedBy=local-fs.target
END
systemctl enable --now srv-mail.mount`;

async function create(guest: (typeof guests)[number] & { image?: string }): Promise<void> {
  const userData = {
    ssh_keys: { ed25519_private: host.private, ed25519_public: host.public },
    write_files: [{ path: "/from-user-data", content: "hello\n" }],
    runcmd: ["echo yes >/ran"],
  };
  await hypervisor.createGuest({
    ...guest,
    imageSlug: guest.image ?? "debian-13-x64",
    userData: `#cloud-config\n${stringify(userData)}`,
    sshKeys: [user.public],
    memoryMiB: 1024,
    vcpus: 1,
  });
}

/** As when the cloud's process is killed: nothing is told to the guests, and what it listened on is gone. */
async function restart(): Promise<void> {
  await hypervisor.close();
  hypervisor = new NspawnHypervisor({ dir });
  await hypervisor.start();
}

function only(protocol: "tcp" | "icmp", ports: string): FirewallRules {
  const sources = ["0.0.0.0/0", "::/0", "0.0.0.0/0"];
  return { inbound: [{ protocol, ports, sources }], outbound: [] };
}

interface Keys {
  privateKey?: string;
  hostKey?: string;
}

async function login(address: string, keys: Keys = {}): Promise<ssh.Client> {
  const wanted = Buffer.from((keys.hostKey ?? host.public).split(" ")[1] ?? "", "base64");
  const client = new ssh.Client();
  await new Promise<void>((resolve, reject) => {
    client.on("ready", resolve).on("error", (error) => {
      client.destroy();
      reject(error);
    });
    client.connect({
      host: address,
      username: "root",
      privateKey: keys.privateKey ?? user.private,
      hostVerifier: (key: Buffer) => key.equals(wanted),
      readyTimeout: 10_000,
    });
  });
  return client;
}

function run(client: ssh.Client, script: string): Promise<string> {
  return new Promise((resolve, reject) => {
    client.exec(script, (error, channel) => {
      if (error) return reject(error);
      let output = "";
      channel.on("data", (chunk: Buffer) => {
        output += chunk;
      });
      channel.on("close", () => resolve(output));
    });
  });
}

async function overSsh(address: string, script: string, keys: Keys = {}): Promise<string> {
  const client = await login(address, keys);
  try {
    return await run(client, script);
  } finally {
    client.destroy();
  }
}

function opens(address: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createConnection({ host: address, port, timeout: 1500 });
    const end = (result: boolean) => {
      socket.destroy();
      resolve(result);
    };
    socket.on("connect", () => end(true));
    socket.on("timeout", () => end(false));
    socket.on("error", () => end(false));
  });
}

const reverse = (ipv4: string) => `${ipv4.split(".").reverse().join(".")}.in-addr.arpa`;

/** Links, namespaces, mounts, loop devices, processes and cgroups of this sandbox. */
async function leftOnTheMachine(): Promise<string[]> {
  const found: string[] = [];
  const look = (what: string, text: string, sign: string) => {
    if (text.includes(sign)) found.push(what);
  };
  look("link", await command("ip", ["link"]), plan.hostLink);
  look("route", await command("ip", ["route"]), plan.ipv4Range);
  look("namespace", await command("ip", ["netns", "list"]), plan.namespace);
  look("mount", await readFile("/proc/self/mounts", "utf8"), dir);
  look("loop device", await command("losetup", ["--list", "--output", "BACK-FILE"]), dir);
  look("process", await command("ps", ["-eo", "args"]), dir);
  look("cgroup", await command("find", ["/sys/fs/cgroup", "-type", "d"]), plan.namespace);
  return found;
}

async function exists(file: string): Promise<boolean> {
  return access(file).then(
    () => true,
    () => false,
  );
}
