import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { suite, test } from "node:test";
import { z } from "zod";
import { accountsCannotRun } from "./server/accounts.ts";
import { temporaryFolder } from "./server/temporary.ts";

const library = join(import.meta.dirname, "../../files/users/usr/local/lib/mailfruit");
const entries = z.record(z.string(), z.string());

/** Runs Python with the accounts' package, its input and its result as JSON. */
function python(code: string, input: unknown): unknown {
  const program = `import json, sys
sys.dont_write_bytecode = True
sys.path.insert(0, ${JSON.stringify(library)})
from pathlib import Path
from accounts import keyfile
given = json.load(sys.stdin)
print(json.dumps(${code}))`;
  const { stdout, stderr } = spawnSync("/usr/bin/python3", ["-c", program], {
    input: JSON.stringify(input),
    encoding: "utf8",
  });
  assert.equal(stderr, "");
  return JSON.parse(stdout);
}

const adopt = (file: Record<string, string>, inbox: string, folders: string[]) =>
  entries.parse(python("keyfile.adopt(*given)", [file, inbox, folders]));

const guid = (letter: string) => letter.repeat(32);
const mailboxKey = "vendor/vendor.dovecot/pvt/server/vendor/vendor.dovecot/pvt/crypt";
const folderKey = "vendor/vendor.dovecot/pvt/crypt";

suite("after a damaged index", { skip: accountsCannotRun }, () => {
  const file = {
    [`priv/${guid("a")}/${mailboxKey}/privkeys/11`]: "locked",
    [`shared/${guid("a")}/${mailboxKey}/active`]: "11",
    [`priv/${guid("a")}/${folderKey}/privkeys/22`]: "of INBOX",
    [`shared/${guid("a")}/${folderKey}/active`]: "22",
    [`priv/${guid("c")}/${folderKey}/privkeys/33`]: "of Archive",
  };

  test("a mailbox's keys go to the folder that is INBOX now, and a folder's to every folder", () => {
    const [inbox, archive] = [guid("b"), guid("c")];
    assert.deepEqual(adopt(file, inbox, [inbox, archive]), {
      [`priv/${inbox}/${mailboxKey}/privkeys/11`]: "locked",
      [`shared/${inbox}/${mailboxKey}/active`]: "11",
      [`priv/${inbox}/${folderKey}/privkeys/22`]: "of INBOX",
      [`priv/${archive}/${folderKey}/privkeys/22`]: "of INBOX",
    });
  });

  test("a key that was made meanwhile stays the one that new mail is locked with", () => {
    const inbox = guid("b");
    const made = { ...file, [`shared/${inbox}/${mailboxKey}/active`]: "44" };
    const adopted = adopt(made, inbox, [inbox]);
    assert.ok(!(`shared/${inbox}/${mailboxKey}/active` in adopted));
    assert.equal(adopted[`priv/${inbox}/${mailboxKey}/privkeys/11`], "locked");
  });

  test("nothing is adopted twice, and nothing where every folder is there", () => {
    const inbox = guid("b");
    const once = { ...file, ...adopt(file, inbox, [inbox, guid("c")]) };
    assert.deepEqual(adopt(once, inbox, [inbox, guid("c")]), {});
    assert.deepEqual(adopt(file, guid("a"), [guid("a"), guid("c")]), {});
  });

  test("the file is replaced as a whole, stays its owner's alone, and reads back the same", () => {
    const folder = temporaryFolder("keyfile");
    const path = join(folder, "dovecot-attributes");
    writeFileSync(path, "name\nvalue\n", { mode: 0o600 });
    const back = python(
      "[keyfile.write(Path(given[0]), given[1]), keyfile.read(Path(given[0]))][1]",
      [path, file],
    );
    assert.deepEqual(back, file);
    assert.equal(statSync(path).mode & 0o777, 0o600);
    assert.equal(readFileSync(path, "utf8").split("\n").length, 2 * Object.keys(file).length + 1);
    rmSync(folder, { recursive: true });
  });
});
