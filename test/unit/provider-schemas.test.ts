import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { isDeepStrictEqual } from "node:util";
import { schemaFile } from "../../sandbox/providers/kit/schema-file.ts";
import { schemaFromSdk, served } from "../../sandbox/providers/kit/schema-from-sdk.ts";

for (const name of Object.keys(served)) {
  test(`the stand-in for ${name} allows what the installed SDK's types allow`, async () => {
    const stored: unknown = JSON.parse(await readFile(schemaFile(name), "utf8"));
    const current = await schemaFromSdk(name);
    const mend = `run: node sandbox/providers/kit/schema-from-sdk.ts ${name}`;
    assert.ok(isDeepStrictEqual(stored, current), mend);
  });
}
