import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { root } from "../../sandbox/paths.ts";
import { plot } from "../bench/mail/plot.ts";
import {
  type MailReport,
  mailTable,
  makeMailReport,
  rounded,
  rowsOf,
  type Sample,
} from "../bench/mail/report.ts";
import { configOf, foldersOf, nameOf, variants } from "../bench/mail/variants.ts";

const productConfig = readFileSync(join(root, "files/dovecot/etc/dovecot/dovecot.conf"), "utf8");
const machine = {
  cores: 2,
  processor: "a <processor> & more",
  memoryGib: 4,
  kernel: "6",
  load: 0.5,
  node: "v24",
  pulumi: "3",
  engine: "built",
  plugins: {},
  commit: "",
};

function sample(measure: string, variant: string, round: number, value: number): Sample {
  return { measure, variant, round, unit: "mails/s", value, cpuMs: value / 10 };
}

const smtp = "SMTP with TLS 4K, 10 connections";
const samples = [
  sample(smtp, "sdbox plain", 1, 100),
  sample(smtp, "sdbox encrypted", 1, 90),
  sample(smtp, "sdbox plain", 2, 50),
  sample(smtp, "sdbox encrypted", 2, 42),
  sample("LMTP 4K, 10 connections", "sdbox plain", 1, 300),
  sample("LMTP 4K, 10 connections", "sdbox encrypted", 1, 150),
];

function reportOf(some: Sample[]): MailReport {
  return makeMailReport(machine, some, 60);
}

test("the bench's encrypted sdbox is the product's configuration in folders of its own", () => {
  const variant = { driver: "sdbox", encrypted: true } as const;
  const { home, cache } = foldersOf(variant);
  const back = configOf(productConfig, variant)
    .replace(`${home}/`, "/srv/mail/home/")
    .replaceAll(`${cache}/`, "/run/mail/cache/");
  assert.equal(back, productConfig);
});

test("a plain variant has no setting of mail_crypt left and all others", () => {
  for (const variant of variants.filter(({ encrypted }) => !encrypted)) {
    const lines = configOf(productConfig, variant).split("\n");
    const settings = lines.filter((line) => !line.trim().startsWith("#"));
    assert.deepEqual(
      settings.filter((line) => line.includes("crypt")),
      [],
    );
    assert.ok(lines.includes(`mail_driver = ${variant.driver}`));
    const gone = productConfig.split("\n").length - lines.length;
    assert.ok(gone >= 5 && gone <= 10, `${gone} lines are gone`);
  }
});

test("a product that is configured otherwise is an error, not a figure", () => {
  const plain = { driver: "sdbox", encrypted: false } as const;
  const maildir = productConfig.replace("mail_driver = sdbox", "mail_driver = maildir");
  assert.throws(() => configOf(maildir, plain), /no line .*mail_driver/);
  const unencrypted = productConfig.replace("mail_crypt = yes", "mail_crypt = no");
  assert.throws(
    () => configOf(unencrypted.replaceAll("mail_crypt = yes", ""), plain),
    /stores plain text/,
  );
});

test("variants keep their mail apart", () => {
  assert.equal(new Set(variants.map((variant) => foldersOf(variant).home)).size, variants.length);
  assert.equal(new Set(variants.map(nameOf)).size, variants.length);
});

test("a variant is compared with the first of its measure in the same round", () => {
  const [, encrypted, , lmtp] = rowsOf(samples);
  assert.equal(encrypted?.variant, "sdbox encrypted");
  assert.deepEqual(encrypted?.value, { min: 42, median: 66, max: 90 });
  assert.deepEqual(encrypted?.ratio, { min: 0.84, median: (0.84 + 0.9) / 2, max: 0.9 });
  assert.equal(encrypted?.cpuMs, 6.6);
  assert.equal(lmtp?.ratio.median, 0.5);
});

test("the table says which aims are met and which are missed", () => {
  const table = mailTable(reportOf(samples));
  assert.match(table, /SMTP with TLS 4K, 10 connections: 0\.87, aim >= 0\.8 of plain: met/);
  assert.match(table, /LMTP 4K, 10 connections: 0\.50, aim >= 0\.6 of plain: MISSED/);
  assert.doesNotMatch(table, /busy/);
  const busy = { ...reportOf(samples), machine: { ...machine, load: 5 } };
  assert.match(mailTable(busy), /The machine was busy/);
});

test("figures have two digits that count, or more before the point, and no exponent", () => {
  const figures = [94_379, 412.6, 99.6, 9.99, 3.84, 0.52, 0.083];
  assert.deepEqual(figures.map(rounded), ["94379", "413", "100", "10", "3.8", "0.52", "0.08"]);
});

test("the picture has a bar for each variant, as long as its ratio, and escapes what it says", () => {
  const picture = plot(reportOf(samples));
  const widths = [...picture.matchAll(/<rect x="\d+" y="\d+" width="([\d.]+)"/g)].map(([, width]) =>
    Number(width),
  );
  assert.deepEqual(widths, [420, 365.4, 420, 210]);
  assert.match(picture, /a &lt;processor> &amp; more/);
  assert.match(picture, /^<svg [^>]*viewBox="0 0 \d+ \d+"/);
});

test("a mail of the load generator has the size that was asked for, in lines of SMTP", () => {
  const folder = join(root, "test/bench/mail");
  for (const size of [4096, 102_400]) {
    const script = `import sys; sys.path.insert(0, sys.argv[1]); import load
sys.stdout.buffer.write(load.message("a@b.example", "c@d.example", ${size}))`;
    const { stdout } = spawnSync("/usr/bin/python3", ["-B", "-c", script, folder]);
    const lines = stdout.toString().split("\r\n");
    assert.ok(Math.abs(stdout.length - size) < size * 0.05, `${stdout.length} bytes`);
    assert.equal(lines.at(-1), "");
    assert.ok(
      lines.every((line) => !line.startsWith(".") && !line.includes("\n") && line.length < 998),
    );
  }
});
