import assert from "node:assert/strict";
import { test } from "node:test";
import { parse } from "yaml";
import { renderStackConfig, withValue } from "../../sandbox/stack-config.ts";

const template = `# a comment
encryptionsalt: v1:theirs
config:
  mailfruit:mailDomain: anna.example
  mailfruit:debug: true
`;

test("a stack's configuration is that of its committed file, with the sandbox's own salt", () => {
  assert.deepEqual(parse(renderStackConfig("mailfruit", template, {}, "v1:ours")), {
    encryptionsalt: "v1:ours",
    config: { "mailfruit:mailDomain": "anna.example", "mailfruit:debug": true },
  });
});

test("a salt of the committed file is not taken over: its passphrase is another", () => {
  const text = renderStackConfig("mailfruit", template, {}, undefined);
  assert.equal(text.includes("theirs"), false);
});

test("given settings win over the file's, with or without the project's name", () => {
  const overrides = { mailDomain: "bert.example", "mailfruit:debug": false, "digitalocean:x": 1 };
  assert.deepEqual(parse(renderStackConfig("mailfruit", template, overrides, undefined)), {
    config: {
      "mailfruit:mailDomain": "bert.example",
      "mailfruit:debug": false,
      "digitalocean:x": 1,
    },
  });
});

test("a stack needs no file to start from", () => {
  assert.deepEqual(parse(renderStackConfig("mailfruit", "", { a: "1" }, undefined)), {
    config: { "mailfruit:a": "1" },
  });
});

test("a file whose config is empty is as good as none", () => {
  assert.deepEqual(parse(renderStackConfig("mailfruit", "config:\n", { a: [1] }, undefined)), {
    config: { "mailfruit:a": [1] },
  });
});

test("changing one setting leaves salt, secrets and the others", () => {
  const before = `encryptionsalt: v1:s
config:
  mailfruit:a: one
  mailfruit:b:
    secure: v1:cipher
`;
  assert.deepEqual(parse(withValue(before, "mailfruit", "a", "two")), {
    encryptionsalt: "v1:s",
    config: { "mailfruit:a": "two", "mailfruit:b": { secure: "v1:cipher" } },
  });
});
