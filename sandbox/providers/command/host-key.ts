import ssh2 from "ssh2";

/** A server's public key: its type, such as "ssh-ed25519", and its SSH encoding. */
export interface HostKey {
  type: string;
  blob: Buffer;
}

/**
 * Reads the first line that holds a public key, in authorized_keys format: `TYPE BASE64 [COMMENT]`,
 * with words before it (options, a host name) allowed; `#` begins a comment line.
 * @throws Error in the real plugin's words if there is none.
 */
export function parseHostKey(text: string): HostKey {
  let lastError = "";
  for (const line of text.split("\n")) {
    const trimmed = line.trim();
    if (trimmed === "" || trimmed.startsWith("#")) continue;
    for (const rest of [afterWord(trimmed), afterWord(afterWord(trimmed))]) {
      const parsed = rest === "" ? undefined : parseKey(rest);
      if (typeof parsed === "object") return parsed;
      lastError = parsed ?? lastError;
    }
  }
  const detail = lastError && `; last parsing error for ignored line: ${lastError}`;
  throw new Error(`failed to parse host key: ssh: no key found${detail}`);
}

/** What follows the first word; a quoted option may have spaces in it. */
function afterWord(line: string): string {
  return /^(?:"(?:\\"|[^"])*"|[^\s"])+\s+(.*)$/.exec(line)?.[1] ?? "";
}

/** The key at the start of a text, or what is wrong with it. */
function parseKey(text: string): HostKey | string {
  const base64 = text.split(/\s/, 1)[0] ?? "";
  const blob = Buffer.from(base64, "base64");
  if (blob.toString("base64") !== base64) return "illegal base64 data";
  const type = readString(blob);
  if (type === undefined) return "ssh: short read";
  const key = ssh2.utils.parseKey(`${type} ${base64}`);
  return key instanceof Error ? "ssh: short read" : { type, blob };
}

/** The first string of an SSH encoding: four bytes of length, then the text. */
function readString(blob: Buffer): string | undefined {
  if (blob.length < 4) return undefined;
  const length = blob.readUInt32BE(0);
  return blob.length < 4 + length ? undefined : blob.toString("latin1", 4, 4 + length);
}
