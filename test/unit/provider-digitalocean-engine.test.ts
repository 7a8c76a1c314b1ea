// A server's resources through real runs of the engine, with the stand-ins for digitalocean and
// tls and the sandbox's API over a machine that only remembers: what the engine makes of their
// answers, and what reaches the state.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { engine } from "../../sandbox/engine/cli.ts";
import { Api } from "./providers/api.ts";
import { Project } from "./providers/project.ts";

const found = await engine().catch(() => undefined);
const skip = found ? false : "there is no Pulumi engine: run `npm run sandbox -- setup`";

const program = `
import { readFileSync } from "node:fs";
import * as pulumi from "@pulumi/pulumi";
import * as digitalocean from "@pulumi/digitalocean";
import * as tls from "@pulumi/tls";
const options = JSON.parse(readFileSync("options.json", "utf8"));
const key = new tls.PrivateKey("key", { algorithm: "ED25519" });
const account = new digitalocean.SshKey("account", { publicKey: key.publicKeyOpenssh });
const machine = new digitalocean.Droplet("machine", {
  name: "mail.example.org",
  image: "debian-13-x64",
  size: "s-1vcpu-1gb",
  region: "fra1",
  ipv6: true,
  sshKeys: [account.id],
  userData: pulumi.interpolate\`\${options.userData} \${key.privateKeyOpenssh}\`,
  tags: options.tags,
});
const id = machine.id.apply(Number);
new digitalocean.Firewall("firewall", {
  dropletIds: [id],
  inboundRules: [{ protocol: "tcp", portRange: "25", sourceAddresses: ["0.0.0.0/0", "::/0"] }],
});
const volume = new digitalocean.Volume("mail", { region: "fra1", size: 10 });
new digitalocean.VolumeAttachment("mail", { dropletId: id, volumeId: volume.id });
const domain = new digitalocean.Domain("domain", { name: "example.org" });
const a = { domain: domain.id, name: "mail", type: "A", value: machine.ipv4Address, ttl: 300 };
new digitalocean.DnsRecord("a", a);
const mx = { domain: domain.id, name: "@", type: "MX", value: "mail.example.org.", priority: 10 };
new digitalocean.DnsRecord("mx", mx);
export const privateKey = key.privateKeyOpenssh;
`;

const sameTwice = /(\d+) unchanged/;

describe("a server's resources in real runs of the engine", { skip, timeout: 240_000 }, () => {
  let api: Api;
  let dir = "";
  let project: Project;
  const options = { userData: "#cloud-config", tags: ["mail"] };

  before(async () => {
    dir = await mkdtemp(join(tmpdir(), "provider-engine-"));
    api = await Api.start();
    if (!found) return;
    project = new Project(dir, found, api.env);
    const plugins = [
      { name: "digitalocean", version: "4.80.1" },
      { name: "tls", version: "5.6.1" },
    ];
    await project.prepare(program, plugins);
  });
  after(async () => {
    await api.stop();
    await rm(dir, { recursive: true, force: true });
  });

  const up = async (changes: object = {}, ...args: string[]): Promise<string> => {
    await project.options({ ...options, ...changes });
    const result = await project.pulumi(
      "up",
      "--yes",
      "--skip-preview",
      "--stack",
      "test",
      ...args,
    );
    assert.equal(result.code, 0, result.stdout + result.stderr);
    return result.stdout;
  };
  const guest = () => [...api.machine.guests.values()][0];

  test("are made, and a second run changes and asks nothing", async () => {
    assert.match(await up(), /10 created/);
    assert.equal(guest()?.name, "mail.example.org");
    assert.deepEqual(api.machine.lookup("mail.example.org", "A"), [guest()?.ipv4]);
    let second = "";
    const sent = await api.during(async () => {
      second = await up();
    });
    assert.match(second, sameTwice);
    assert.doesNotMatch(second, /created|updated|replaced/);
    assert.deepEqual(sent, []);
  });

  test("that can be changed are changed in place", async () => {
    const id = guest()?.id;
    const printed = await up({ tags: ["mail", "blue"] });
    assert.match(printed, /Droplet machine updated .*diff: ~tags/);
    assert.equal(guest()?.id, id);
  });

  test("changed user_data replaces the machine: the old one goes first, the volume stays", async () => {
    const old = guest()?.id;
    const printed = await up({ userData: "#cloud-config 2", tags: ["mail", "blue"] });
    assert.ok(
      printed.indexOf("deleted original") < printed.indexOf("created replacement"),
      printed,
    );
    assert.notEqual(guest()?.id, old);
    assert.equal(api.machine.guests.size, 1);
    assert.equal([...api.machine.volumes.values()][0]?.guest, guest()?.id);
    assert.deepEqual(api.machine.lookup("mail.example.org", "A"), [guest()?.ipv4]);
  });

  test("that somebody else removed are made again by a run with a refresh", async () => {
    const old = guest()?.id;
    await api.send("DELETE", `/v2/droplets/${old}`);
    while (api.machine.guests.size > 0) await sleep(10);
    await up({ userData: "#cloud-config 2", tags: ["mail", "blue"] }, "--refresh");
    assert.notEqual(guest()?.id, old);
    assert.equal([...api.machine.volumes.values()][0]?.guest, guest()?.id);
  });

  test("keep the private key out of the state file and of what is printed", async () => {
    const shown = await project.pulumi("stack", "output", "privateKey", "--show-secrets");
    const body = shown.stdout.split("\n").slice(2, 4);
    assert.match(shown.stdout, /^-----BEGIN OPENSSH PRIVATE KEY-----/);
    const [state, printed] = [await project.stateText(), project.printed.replace(shown.stdout, "")];
    for (const line of body) {
      assert.ok(!state.includes(line), "in the state");
      assert.ok(!printed.includes(line), "in what pulumi printed");
    }
  });

  test("a plugin ends with an engine that was killed in the middle", async () => {
    let open = () => {};
    api.machine.gate = new Promise((resolve) => {
      open = resolve;
    });
    await project.options({ ...options, userData: "#cloud-config 3" });
    const from = api.requests.length;
    const args = ["up", "--yes", "--skip-preview", "--stack", "test", "--non-interactive"];
    assert.ok(found);
    const killed = spawn(found.pulumi, args, { cwd: dir, env: project.env, stdio: "ignore" });
    const busy = () => api.requests.slice(from).some((line) => line.startsWith("GET /v2/actions/"));
    while (!busy()) await sleep(20);
    assert.ok((await project.pluginIds()).length > 0);
    killed.kill("SIGKILL");
    await once(killed, "exit");
    for (let i = 0; (await project.pluginIds()).length > 0; i++) {
      assert.ok(i < 100, "plugins go on without their engine");
      await sleep(50);
    }
    open();
    await project.pulumi("cancel", "--yes", "--stack", "test");
    await up({ userData: "#cloud-config 3" }, "--refresh");
    assert.equal(api.machine.guests.size, 1);
  });

  test("leave nothing behind when they are destroyed", async () => {
    const result = await project.pulumi("destroy", "--yes", "--skip-preview", "--stack", "test");
    assert.equal(result.code, 0, result.stdout + result.stderr);
    assert.equal(api.machine.guests.size, 0);
    assert.equal(api.machine.volumes.size, 0);
    assert.deepEqual(api.machine.lookup("example.org", "MX"), []);
    const keys = await (await api.send("GET", "/v2/account/keys")).text();
    assert.match(keys, /"ssh_keys":\[\]/);
  });
});
