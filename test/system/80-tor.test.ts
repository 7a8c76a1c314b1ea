import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { before, suite, test } from "node:test";
import { connect } from "../../admin/connect.ts";
import { clientKey } from "../../admin/onion-key.ts";
import type { TorNetwork } from "../../sandbox/world/tor.ts";
import { joinTor, OnionClient, upTor } from "./by-tor.ts";
import { type Dialogue, plainLogin } from "./dialogue.ts";
import type { TestServer } from "./server.ts";
import { logIn, submit } from "./submit.ts";

let tor: TorNetwork;
let server: TestServer;
let client: OnionClient;
before(async () => {
  tor = await joinTor();
  server = await upTor(tor);
  client = new OnionClient(tor, server);
});

/** Runs a command on the server whose failure is what is looked at: its code and all that it says. */
async function attempt(command: string): Promise<{ code: number; said: string }> {
  const said = await server.run(`{ ${command}; } 2>&1; echo "exit $?"`);
  return { code: Number(/exit (\d+)\s*$/.exec(said)?.[1]), said };
}

suite("software comes through Tor alone", () => {
  test("all but what Tor needs went through it", async () => {
    const log = await server.run("cat /var/log/apt/history.log");
    const [first = "", rest = ""] = log.split(/(?<=End-Date: .*\n)(?=[\s\S]*postfix)/);
    assert.match(first, /apt-transport-tor/);
    assert.doesNotMatch(first, /postfix|dovecot/);
    assert.match(rest, /Acquire::http::Proxy=socks5h:\/\/apt1:x@127\.0\.0\.1:9050/);
  });

  test("apt works through it, from the sources that there are", async () => {
    const { code, said } = await attempt("apt-get -q update -o APT::Update::Error-Mode=any");
    assert.equal(code, 0, said);
  });

  test("with Tor stopped nothing is fetched, and apt says why", async () => {
    await server.run("systemctl stop tor@default");
    try {
      const update = await attempt("apt-get -q update -o APT::Update::Error-Mode=any");
      assert.notEqual(update.code, 0);
      assert.match(update.said, /Tor can't be used, and this server downloads through Tor only/);
      const install = await attempt("apt-get -q -y --reinstall install hostname");
      assert.notEqual(install.code, 0, install.said);
      const daily = await attempt(
        "systemctl start --no-block apt-daily.service; sleep 1; systemctl is-active apt-daily.service",
      );
      assert.match(daily.said, /^activating$/m);
      await server.run("systemctl stop apt-daily.service");
    } finally {
      await server.run(
        "systemctl start tor@default && /usr/local/lib/mailfruit/tor-ready --wait 60",
      );
    }
  });

  test("a second `up` changes nothing", async () => {
    const { stdout } = await server.up();
    assert.doesNotMatch(stdout, /created|updated|replaced/);
  });
});

const refused = /^(?:4|5)\d\d /;
const login = () => plainLogin(server.outputs.testUser);

async function startTls(port: 587): Promise<Dialogue> {
  const dialogue = await client.open(port);
  await dialogue.smtp();
  await dialogue.smtp("EHLO client.example");
  assert.match(await dialogue.smtp("STARTTLS"), /^220 /);
  await dialogue.startTls();
  return dialogue;
}

suite("a mail client by onion", () => {
  test("writes by 465 and 587 and hears of it at once by IMAPS with IDLE", async () => {
    const { address } = server.outputs.testUser;
    const imap = await client.wrapped(993);
    assert.match(imap.names, new RegExp(`DNS:${client.name("users")}`));
    await imap.line();
    await imap.imap("a", `AUTHENTICATE PLAIN ${login()}`);
    await imap.imap("b", "SELECT INBOX");
    for (const [number, open] of [() => client.wrapped(465), () => startTls(587)].entries()) {
      const subject = randomUUID();
      const heard = imap.idle(`i${number}`, /^\* \d+ EXISTS\r\n/m);
      const smtp = await open();
      if (number === 0) await smtp.smtp();
      await submit(smtp, server.outputs.testUser, address, subject);
      await heard;
      assert.match(await imap.imap(`s${number}`, `SEARCH SUBJECT ${subject}`), /\* SEARCH \d+/);
      const headers = await imap.imap(`f${number}`, "FETCH * BODY.PEEK[HEADER]");
      assert.match(headers, new RegExp(`by ${server.outputs.serverHostname} \\(Postfix\\)`));
      assert.doesNotMatch(headers, /\.onion|fc00:dead|127\.0\.0\.1/);
      smtp.close();
    }
    imap.close();
  });

  test("keeps its filters by ManageSieve", async () => {
    const sieve = await client.open(4190);
    assert.match(await sieve.sieve(), /STARTTLS/);
    assert.match(await sieve.sieve("STARTTLS"), /^OK/m);
    await sieve.startTls();
    await sieve.sieve();
    assert.match(await sieve.sieve(`AUTHENTICATE "PLAIN" "${login()}"`), /^OK/m);
    assert.match(await sieve.sieve("LISTSCRIPTS"), /^OK/m);
    sieve.close();
  });

  test("an administrator logs in by SSH, whose host key is the pinned one", async () => {
    const { sshHostKey: hostKey, sshPrivateKey: privateKey } = server.outputs;
    const access = { address: client.name("ssh"), port: 22, user: "root", hostKey, privateKey };
    const ssh = await connect(access);
    const words: string[] = [];
    const stdout = new (await import("node:stream")).PassThrough();
    stdout.on("data", (data) => words.push(String(data)));
    assert.equal(await ssh.run(["echo", "hello by Tor"], { stdout, stderr: process.stderr }), 0);
    assert.equal(words.join(""), "hello by Tor\n");
    ssh.close();
  });
});

suite("who comes by onion is a stranger", () => {
  test("nobody relays or sends in our users' names by the port for other servers", async () => {
    const { address } = server.outputs.testUser;
    const smtp = await client.smtp();
    assert.match(await smtp.smtp("MAIL FROM:<bert@outside.example>"), /^250 /);
    assert.match(await smtp.smtp("RCPT TO:<carl@elsewhere.example>"), /^554 5\.7\.1/);
    assert.match(await smtp.smtp(`RCPT TO:<${address}>`), /^250 /);
    await smtp.smtp("RSET");
    for (const sender of [address, `ghost@${server.outputs.mailDomain}`]) {
      await smtp.smtp(`MAIL FROM:<${sender}>`);
      assert.match(await smtp.smtp(`RCPT TO:<${address}>`), /^553 5\.7\.1/, sender);
      await smtp.smtp("RSET");
    }
    smtp.close();
  });

  test("nobody sends anything by the users' ports without a login, nor as somebody else with one", async () => {
    const { address } = server.outputs.testUser;
    for (const open of [() => client.wrapped(465).then(greeted), () => startTls(587)]) {
      const smtp = await open();
      await smtp.smtp("EHLO x.example");
      await smtp.smtp("MAIL FROM:<bert@outside.example>");
      assert.match(await smtp.smtp("RCPT TO:<carl@elsewhere.example>"), refused);
      smtp.close();
    }
    const smtp = await client.wrapped(465).then(greeted);
    await logIn(smtp, server.outputs.testUser);
    await smtp.smtp(`MAIL FROM:<ghost@${server.outputs.mailDomain}>`);
    assert.match(await smtp.smtp(`RCPT TO:<${address}>`), /^553 5\.7\.1/);
    smtp.close();
  });

  test("mail in the clear by an onion port is refused as anywhere", async () => {
    const smtp = await client.open(587);
    await smtp.smtp();
    await smtp.smtp("EHLO x.example");
    assert.match(await smtp.smtp("MAIL FROM:<bert@outside.example>"), /^530 5\.7\.0/);
    smtp.close();
  });

  test("each circuit is somebody of its own, and no ban hits them all: after 20 wrong passwords others log in", async () => {
    const guesses = Array.from({ length: 20 }, async (_, number) => {
      const imap = await client.wrapped(993);
      await imap.line();
      const { address } = server.outputs.testUser;
      const wrong = plainLogin({ address, password: `guess ${number}` });
      assert.match(await imap.imap("a", `AUTHENTICATE PLAIN ${wrong}`), /^a NO/m);
      imap.close();
    });
    await Promise.all(guesses);
    await tor.newCircuits();
    const imap = await client.wrapped(993);
    const started = Date.now();
    await imap.line();
    assert.match(await imap.imap("a", `AUTHENTICATE PLAIN ${login()}`), /^a OK/m);
    assert.ok(Date.now() - started < 15_000, `${Date.now() - started} ms`);
    imap.close();
    const seen = await server.run(
      "journalctl -u dovecot -o cat --since -2min | grep -o 'rip=[^,]*' | sort -u",
    );
    const circuits = seen.trim().split("\n");
    assert.ok(circuits.length >= 2, seen);
    assert.ok(circuits.filter((each) => each.startsWith("rip=fc00:dead:beef")).length >= 2, seen);
  });

  test("SSH's penalties spare the address that all of them have", async () => {
    const effective = await server.run("sshd -T | grep -i persourcepenaltyexemptlist");
    assert.match(effective, /127\.0\.0\.0\/8/);
  });
});

suite("client authorization", () => {
  const reaches = async () => {
    const socket = await client.tryToConnect("ssh", 22).catch(() => null);
    socket?.destroy();
    return socket !== null;
  };

  test("lets in who has the right key, and neither strangers nor wrong keys", async () => {
    const [anna, bert] = [clientKey(), clientKey()];
    const services = { ssh: { clients: { anna: anna.publicKey } } };
    await upTor(tor, { onionServices: services });
    const name = client.name("ssh");
    await tor.authorize(name, anna.secretKey);
    await client.untilFound("ssh", 22); // with the right key
    await tor.authorize(name, bert.secretKey);
    assert.equal(await reaches(), false, "with a wrong key");
    await tor.forget(name);
    assert.equal(await reaches(), false, "without a key");
  });
});

async function greeted(dialogue: Dialogue): Promise<Dialogue> {
  await dialogue.smtp();
  return dialogue;
}
