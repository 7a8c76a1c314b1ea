import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { gzipSync } from "node:zlib";
import { Canaries, compose } from "../system/canaries.ts";

const folder = mkdtempSync(join(tmpdir(), "canaries-"));
after(() => rmSync(folder, { recursive: true }));

async function findsIn(canaries: Canaries, bytes: Buffer | string): Promise<string[]> {
  const path = join(folder, "file");
  writeFileSync(path, bytes);
  return [...(await canaries.inFile(path))].sort();
}

test("the search finds a canary in each writing, wherever it stands, and tells which it is", async () => {
  const canaries = new Canaries();
  canaries.of("smtp");
  const { subject } = canaries.of("draft");
  const around = (shift: number) => Buffer.from(`${"x".repeat(shift)}${subject} and more`);
  const writings = [
    ...[subject, subject.toUpperCase(), Buffer.from(subject, "utf16le")],
    Buffer.from(subject, "utf16le").swap16(),
    Buffer.from(subject).toString("hex"),
    ...[0, 1, 2, 3].map((shift) => around(shift).toString("base64")),
    ...[0, 1, 2].map((shift) =>
      Buffer.from(around(shift).toString(), "utf16le").toString("base64"),
    ),
    gzipSync(`packed ${subject}`),
    Buffer.concat([Buffer.alloc(8 * 2 ** 20 - 5), Buffer.from(subject)]),
    Buffer.concat([Buffer.alloc(64 * 2 ** 20), Buffer.from(subject)]),
  ];
  for (const writing of writings)
    assert.deepEqual(await findsIn(canaries, writing), ["draft subject"]);
});

test("the search finds all parts of a mail as it goes over the wire, and nothing where nothing is", async () => {
  const canaries = new Canaries();
  const mail = await compose(canaries.of("smtp"), { way: "smtp", to: "anna@anna.example" });
  assert.deepEqual(
    await findsIn(canaries, mail),
    ["address", "content", "file", "name", "subject", "text"].map((part) => `smtp ${part}`),
  );
  assert.deepEqual(await findsIn(new Canaries(), mail), []);
  assert.deepEqual(await findsIn(canaries, Buffer.alloc(0)), []);
});
