import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { differences, needless, reasons, unexplained } from "../scan/reasons.ts";
import { reasonsTable } from "../scan/report.ts";

/** A table without what the formatter adds to its cells. */
const unpadded = (table: string) => table.replaceAll(/ +/g, " ").replaceAll(/-+/g, "-");

const page = readFileSync(join(import.meta.dirname, "..", "..", "docs", "scan.md"), "utf8");

test("docs/scan.md has the reasons that the scan knows, and no others", () => {
  const table = /^\| What differs[\s\S]*?(?=\n\n)/m.exec(page)?.[0];
  assert.equal(unpadded(table ?? ""), unpadded(reasonsTable()));
});

test("a difference is explained when its reason explains all of it", () => {
  const plain = { "25 EHLO in TLS": "250-SIZE 10240000\n250 DSN" };
  const meant = { "25 EHLO in TLS": "250-SIZE 26214400\n250 DSN" };
  assert.deepEqual(unexplained(differences(meant, plain)), []);
  const more = { "25 EHLO in TLS": "250-SIZE 26214400\n250 DSN BINARYMIME" };
  assert.equal(unexplained(differences(more, plain)).length, 1);
});

test("what only one of the two says is a difference", () => {
  assert.equal(unexplained(differences({ new: "hello" }, {})).length, 1);
  assert.equal(unexplained(differences({}, { old: "hello" })).length, 1);
});

test("a reason that no difference needs is found", () => {
  assert.equal(needless([]).length, reasons.length);
});
