import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { z } from "zod";
import { root } from "../../sandbox/paths.ts";
import type { Seen } from "../scan/dialogues.ts";
import { differences, unexplained } from "../scan/reasons.ts";
import { look, placeOf } from "../scan/scan.ts";
import { Dialogue, plainLogin } from "./dialogue.ts";
import { TestServer } from "./server.ts";

// Against what a plain Debian said when `npm run scan -- --record` met it. What this does not prove: that nmap, testssl.sh
// and ssh-audit see no more (npm test -- tor), and that Debian still says the same.

let alpha: TestServer;
let seen: Seen;
before(async () => {
  alpha = await TestServer.up("alpha");
  seen = await look(placeOf(alpha));
});

test("a scanner sees a plain Debian, but for what is meant", async () => {
  const file = join(root, "test", "scan", "plain-debian.json");
  const plain = z.record(z.string(), z.string()).parse(JSON.parse(await readFile(file, "utf8")));
  assert.ok(Object.keys(seen).length > 150, `${Object.keys(seen).length} looks`);
  assert.deepEqual(unexplained(differences(seen, plain)), []);
});

test("nothing that the server says has its software's name", () => {
  assert.doesNotMatch(JSON.stringify(seen), /mailfruit/i);
});

test("mail that it writes itself has it neither: a bounce and a vacation reply", async () => {
  const { testUser, ipv4: host, serverHostname: servername, ca, mailDomain } = alpha.outputs;
  const mark = randomUUID();
  const writer = `writer-${mark}@${mailDomain}`;
  const gone = `nobody-${mark}@${servername}`;
  await alpha.run(`mailfruit alias add ${writer} ${testUser.address}`);
  const sieve = await Dialogue.open({ host, port: 4190, servername, ca });
  await sieve.sieve();
  await sieve.sieve("STARTTLS");
  await sieve.startTls();
  await sieve.sieve();
  assert.match(await sieve.sieve(`AUTHENTICATE "PLAIN" "${plainLogin(testUser)}"`), /^OK/m);
  const script = 'require "vacation"; vacation "I am away.";';
  assert.match(await sieve.sieve(`PUTSCRIPT "away" {${script.length}+}\r\n${script}`), /^OK/m);
  await sieve.sieve('SETACTIVE "away"');
  const imap = await Dialogue.open({ host, port: 993, servername, ca, wrapped: true });
  try {
    const to = (address: string) => `From: ${writer}\nTo: ${address}\nSubject: ${mark}\n\nhello\n`;
    await alpha.run(`sendmail -f ${writer} ${testUser.address}`, to(testUser.address));
    await alpha.run(`sendmail -f ${writer} ${gone}`, to(gone));
    await imap.line();
    await imap.imap("a", `AUTHENTICATE PLAIN ${plainLogin(testUser)}`);
    await imap.imap("b", "SELECT INBOX");
    assert.match(
      await arrived(imap, `TO ${writer} BODY "I am away."`),
      /\nAuto-Submitted: auto-replied/,
    );
    assert.match(
      await arrived(imap, `TO ${writer} BODY ${gone}`),
      /\nAuto-Submitted: auto-replied/,
    );
  } finally {
    imap.close();
    await sieve.sieve('SETACTIVE ""');
    await sieve.sieve('DELETESCRIPT "away"');
    sieve.close();
    await alpha.run(`mailfruit alias delete ${writer}`);
  }
});

/** The whole text of the mail that a search finds, as soon as it is there; it must not name our software. */
async function arrived(imap: Dialogue, search: string): Promise<string> {
  for (let tries = 0; tries < 100; tries++) {
    await imap.imap("n", "NOOP");
    const number = /\* SEARCH (\d+)/.exec(await imap.imap("s", `SEARCH ${search}`))?.[1];
    if (number === undefined) {
      await sleep(100);
      continue;
    }
    const text = await imap.imap("f", `FETCH ${number} BODY.PEEK[]`);
    assert.doesNotMatch(text, /mailfruit/i);
    return text;
  }
  throw new Error(`no mail came: ${search}`);
}
