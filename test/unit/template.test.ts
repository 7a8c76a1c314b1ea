import assert from "node:assert/strict";
import { test } from "node:test";
import { checkNames, fill, placeholders, readTemplate, render } from "../../components/template.ts";

const template = {
  origin: "files/x/etc/x.conf",
  text: "# by {{owner}}\n\nhost = {{host}}, again {{host}}\n",
};

test("values stand where their names stood, everywhere, and as they are", () => {
  assert.equal(
    render(template, { owner: "$& $1 {{host}}", host: "mail" }),
    "# by $& $1 {{host}}\n\nhost = mail, again mail\n",
  );
});

test("an unknown name is an error with its file and line", () => {
  assert.throws(() => render(template, { owner: "anna" }), {
    message:
      "files/x/etc/x.conf:3: {{host}} has no value\nfiles/x/etc/x.conf:3: {{host}} has no value",
  });
});

test("a value that no file names is an error with the place that gives it", () => {
  assert.throws(() => checkNames([template], ["owner", "host", "port"], "components/roles/x.ts"), {
    message: "components/roles/x.ts: port is given and stands in no file",
  });
});

test("all misfits of all files are told at once", () => {
  const other = { origin: "files/x/etc/y.conf", text: "{{hots}}" };
  assert.throws(() => checkNames([template, other], ["host", "prot"], "components/roles/x.ts"), {
    message: [
      "files/x/etc/x.conf:1: {{owner}} has no value",
      "files/x/etc/y.conf:1: {{hots}} has no value",
      "components/roles/x.ts: prot is given and stands in no file",
    ].join("\n"),
  });
});

test("a mistyped pair of braces is no silent text", () => {
  for (const text of ["{{ host }}", "{{}}", "{{host-name}}", "{{toString}}"])
    assert.throws(
      () => render({ origin: "files/x/y", text }, {}),
      /files\/x\/y:1: .* has no value/,
    );
});

test("other braces are a configuration's own: shell, Postfix and Dovecot keep theirs", () => {
  const text = "$" + "{a?{b}:{c}}/x\n%{user | domain}\n{ {a} }\n}}\n{{\n";
  assert.deepEqual(placeholders({ origin: "x", text }), []);
  assert.equal(fill({ origin: "x", text }, {}), text);
});

test("a name is found on its line, with Windows' line ends too", () => {
  assert.deepEqual(placeholders({ origin: "x", text: "a\r\n{{b}}\r\n\r\n{{c}}{{d}}" }), [
    { name: "b", line: 2 },
    { name: "c", line: 4 },
    { name: "d", line: 4 },
  ]);
});

test("a template that isn't there is an error with its path", () => {
  assert.throws(() => readTemplate("nowhere/etc/x"), /files\/nowhere\/etc\/x/);
});
