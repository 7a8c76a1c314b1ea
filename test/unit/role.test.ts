import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { suite, test } from "node:test";
import { z } from "zod";
import { type RoleFolder, readRoleFolder, renderRole } from "../../components/role.ts";
import { randomNumbers } from "./random.ts";
import { applyCannotRun, asServerReads } from "./server/apply.ts";

const manifest: RoleFolder["manifest"] = {
  packages: ["app"],
  files: {},
  directories: {},
  before: [],
  check: [],
  after: [],
  units: {},
};

/** A role of files by path, and whatever else it has. */
function folder(
  files: Record<string, string>,
  rest: Partial<RoleFolder["manifest"]> = {},
): RoleFolder {
  const templates = Object.entries(files).map(
    ([path, text]) => [path, { origin: `files/app${path}`, text }] as const,
  );
  return { name: "app", manifest: { ...manifest, ...rest }, files: new Map(templates) };
}

const small = folder(
  {
    "/etc/app/secret": "{{token}}",
    "/etc/app/app.conf": "# The server's name\nhost = {{host}}\n\n  indented = yes\n",
  },
  {
    files: { "/etc/app/secret": { owner: "root", group: "app", mode: "0640" } },
    directories: { "/srv/app": { owner: "app", group: "app", mode: "0700" } },
    before: ["systemd-sysusers"],
    check: ["app --check 'it' >/dev/null"],
    after: ["app sync"],
    units: { "app.service": "reload", "app.timer": "restart" },
  },
);

const golden = `role: app
directories:
  /srv/app:
    owner: app
    group: app
    mode: "0700"
files:
  /etc/app/app.conf:
    owner: root
    group: root
    mode: "0644"
    text: |
      # The server's name
      host = mail.anna.example

        indented = yes
  /etc/app/secret:
    owner: root
    group: app
    mode: "0640"
    text: "t0ken"
before:
  - systemd-sysusers
check:
  - app --check 'it' >/dev/null
after:
  - app sync
units:
  app.service: reload
  app.timer: restart
revision: "REVISION: reload app.service, restart app.timer"
`;

const values = { host: "mail.anna.example", token: "t0ken" };

suite("a role's text", () => {
  test("reads like the files that it brings, sorted by path, with what happens then", () => {
    const text = renderRole(small, values);
    assert.equal(text.replace(/[0-9a-f]{12}(?=:)/, "REVISION"), golden);
  });

  test("ends with what will be reloaded, so that every preview of a change names it", () => {
    const last = (text: string) => text.trimEnd().split("\n").at(-1);
    const before = last(renderRole(small, values));
    const after = last(renderRole(small, { ...values, host: "mx.anna.example" }));
    assert.notEqual(before, after);
    assert.match(
      after ?? "",
      /^revision: "[0-9a-f]{12}: reload app\.service, restart app\.timer"$/,
    );
    assert.match(last(renderRole(folder({}), {})) ?? "", /: nothing to reload"?$/);
  });

  test("is the same for the same files in whatever order they were found", () => {
    const turned = { ...small, files: new Map([...small.files].reverse()) };
    assert.equal(renderRole(turned, values), renderRole(small, values));
  });

  test("has another revision after a change of anything in it", () => {
    const change = (rest: Partial<RoleFolder["manifest"]>) =>
      renderRole({ ...small, manifest: { ...small.manifest, ...rest } }, values);
    const texts = [
      renderRole(small, values),
      renderRole(small, { ...values, host: "x" }),
      renderRole(small, { ...values, token: "x" }),
      renderRole({ ...small, name: "other" }, values),
      renderRole({ ...small, files: new Map([...small.files].slice(1)) }, values),
      change({ files: {} }),
      change({ directories: {} }),
      change({ before: [] }),
      change({ check: [] }),
      change({ after: [] }),
      change({ units: { "app.service": "restart", "app.timer": "restart" } }),
    ];
    const revisions = texts.map((text) => /^revision: "([0-9a-f]{12}):/m.exec(text)?.[1]);
    assert.ok(revisions.every(Boolean));
    assert.equal(new Set(revisions).size, texts.length);
  });

  test("holds no control characters: they are refused with file and line, and the value isn't shown", () => {
    for (const character of ["\0", "\x07", "\x7f", "\x9f", "\u0085", "\u2028", "\ufeff", "\ud800"])
      assert.throws(
        () => renderRole(folder({ "/etc/x": "one\n{{v}}\n" }), { v: `canary${character}` }),
        (error: Error) =>
          error.message.startsWith("files/app/etc/x:2: ") && !error.message.includes("canary"),
      );
  });
});

const read = z.object({
  files: z.record(z.string(), z.object({ text: z.string(), mode: z.string() })),
});

/** The texts as the server writes them. */
function throughServer(texts: string[]): string[] {
  const files = Object.fromEntries(texts.map((text, index) => [`/f/${index}`, text]));
  const role = read.parse(asServerReads(renderRole(folder(files), {})));
  return texts.map((_, index) => role.files[`/f/${index}`]?.text ?? "(missing)");
}

suite("a file comes to the server byte for byte", { skip: applyCannotRun }, () => {
  test("with lines that YAML would take for something else", () => {
    const texts = [
      ...["", "yes", "no\n", "=", "<<", "~", "null", "1:20", "2001-12-14", "0640", "1_000", ".inf"],
      ...[
        "---\n",
        "...\n",
        "# c\n",
        "%YAML 1.1\n",
        "- a\n",
        "? a\n",
        "a: b\n",
        "a: 'b\n",
        "&a *b\n",
      ],
      ...["!tag x", "|\n", ">\n", "|-", "@x", "`x", '"', "'", "\\n", "{a}", "[a", "{{", "}}\n"],
    ];
    assert.deepEqual(throughServer(texts), texts);
  });

  test("with spaces, tabs and empty lines at either end, and without a final newline", () => {
    const texts = [
      ...[
        " ",
        "  \n",
        "\n",
        "\n\n\n",
        "\t",
        "\t\n",
        " a",
        "\ta\n",
        "  a\n b\n",
        "\n  a\nb\n",
        " \n\n a\n",
      ],
      ...[
        "a ",
        "a \nb\t\n",
        "a\n ",
        "a\n\t",
        "a\n\n\n",
        "a\n  ",
        "a\n\nb",
        "a\n \nb\n",
        "a\n\n  b\n",
      ],
    ];
    assert.deepEqual(throughServer(texts), texts);
  });

  test("with Windows' line ends, other scripts, and very long lines", () => {
    const long = "b ".repeat(40_000);
    const texts = [
      "a\r\nb\r\n",
      "a\rb",
      "\r",
      "äöü\n",
      "\u{1f34e}",
      "日本\n語",
      "\u00a0\n",
      long,
      `${long}\n${long}\n`,
    ];
    assert.deepEqual(throughServer(texts), texts);
  });

  test("with any mixture of those", () => {
    const random = randomNumbers(20261123);
    const pieces = [
      "a",
      " ",
      " ",
      "\t",
      "\n",
      "\n",
      "#",
      ":",
      "-",
      "\r",
      "'",
      '"',
      "é",
      "\\",
      "|",
      "%",
    ];
    const texts = Array.from({ length: 4000 }, () =>
      Array.from({ length: random(14) }, () => pieces[random(pieces.length)]).join(""),
    );
    assert.deepEqual(throughServer(texts), texts);
  });
});

suite("a role's folder", () => {
  /** Reads a folder of these files. */
  function readFolder(files: Record<string, string>, prepare: (dir: string) => void = () => {}) {
    const base = mkdtempSync(join(tmpdir(), "mailfruit-role-"));
    try {
      for (const [path, text] of Object.entries(files)) {
        mkdirSync(dirname(join(base, "app", path)), { recursive: true });
        writeFileSync(join(base, "app", path), text);
      }
      prepare(join(base, "app"));
      return readRoleFolder("app", base);
    } finally {
      rmSync(base, { recursive: true });
    }
  }

  test("is read as the server's own file system", () => {
    const { files, manifest: read } = readFolder({
      "role.yaml": "packages: [app]\nfiles: {/etc/app/key: {mode: '0600'}}\n",
      "etc/app/key": "{{key}}",
      "etc/role.yaml": "not the role's\n",
    });
    assert.deepEqual([...files.keys()].sort(), ["/etc/app/key", "/etc/role.yaml"]);
    assert.equal(files.get("/etc/app/key")?.origin, "files/app/etc/app/key");
    assert.deepEqual(read.files["/etc/app/key"], { owner: "root", group: "root", mode: "0600" });
  });

  test("with a mistake in role.yaml is refused with the file's name and the key", () => {
    const mistakes: [yaml: string, words: RegExp][] = [
      ["package: [app]", /role\.yaml: .*package/s],
      ["units: {app.service: start}", /role\.yaml: .*app\.service/s],
      ["files: {/etc/x: {mode: 0640}}", /role\.yaml: .*mode/s],
      ["files: {/etc/x: {mode: '640'}}", /must be a mode such as "0640"/],
      ["files: {etc/x: {mode: '0640'}}", /role\.yaml: /],
      ["files: {/etc/absent: {mode: '0640'}}", /no such file: \/etc\/absent/],
      ["directories: {/srv: {mod: '0640'}}", /role\.yaml: /],
    ];
    for (const [yaml, words] of mistakes)
      assert.throws(() => readFolder({ "role.yaml": yaml, "etc/x": "" }), words);
  });

  test("with a link in it is refused: the server would get less than the folder shows", () => {
    assert.throws(
      () => readFolder({ "role.yaml": "{}" }, (dir) => symlinkSync("/etc/passwd", join(dir, "x"))),
      /files\/app\/x is no regular file/,
    );
  });
});
