import assert from "node:assert/strict";
import {
  createPrivateKey,
  createPublicKey,
  diffieHellman,
  generateKeyPairSync,
  type KeyObject,
} from "node:crypto";
import { suite, test } from "node:test";
import { clientKey, instructions } from "../../admin/onion-key.ts";
import { base32, fromBase32 } from "../../settings/onion-address.ts";

/** A private key of its 32 bytes (RFC 8410 section 7). */
function x25519Key(secret: Buffer): KeyObject {
  const pkcs8 = Buffer.from("302e020100300506032b656e04220420", "hex");
  return createPrivateKey({ key: Buffer.concat([pkcs8, secret]), format: "der", type: "pkcs8" });
}

suite("a key of client authorization", () => {
  test("has the public half that belongs to the private one", () => {
    const secret = Buffer.alloc(32, 7);
    const key = clientKey(x25519Key(secret));
    assert.deepEqual(fromBase32(key.secretKey), secret);
    const { privateKey, publicKey } = generateKeyPairSync("x25519");
    const spki = Buffer.from("302a300506032b656e032100", "hex");
    const bytes = fromBase32(key.publicKey) ?? assert.fail("no base32");
    const ours = createPublicKey({
      key: Buffer.concat([spki, bytes]),
      format: "der",
      type: "spki",
    });
    assert.deepEqual(
      diffieHellman({ privateKey, publicKey: ours }),
      diffieHellman({ privateKey: x25519Key(secret), publicKey }),
    );
  });

  test("is another one each time, as text that tor and the settings take", () => {
    const [one, two] = [clientKey(), clientKey()];
    assert.notEqual(one.secretKey, two.secretKey);
    assert.match(one.publicKey, /^[A-Z2-7]{52}$/);
    const bytes = fromBase32(one.publicKey);
    assert.ok(bytes && base32(bytes).toUpperCase() === one.publicKey);
  });

  test("comes with the command for the stack, and with the line for who may come", () => {
    const text = instructions("anna", "users", { publicKey: "PUB", secretKey: "SEC" }, "abc.onion");
    assert.match(text, /pulumi config set --path onionServices\.users\.clients\.anna PUB$/m);
    assert.match(text, /^ {4}abc:descriptor:x25519:SEC$/m);
  });
});
