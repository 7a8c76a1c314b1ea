import { randomBytes } from "node:crypto";
import { open, readdir } from "node:fs/promises";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { createTransport } from "nodemailer";

/** The parts of a mail that each hold a canary of their own; file and content are of an attachment. */
export type Part = "subject" | "text" | "file" | "content" | "name" | "address";

const chunkSize = 8 * 2 ** 20;
const zeros = Buffer.alloc(chunkSize);

/** Words that stand nowhere else, put into mails, and the search for them on disks. */
export class Canaries {
  /** The beginning of them all: a search looks for it first. */
  readonly mark = `zq${randomBytes(6).toString("hex")}`;
  readonly #marks = writings(this.mark);
  readonly #byWay = new Map<string, Record<Part, string>>();
  /** From each writing of a canary to whose it is, as in "bounce subject". */
  readonly #names = new Map<string, string>();
  #count = 0;

  get count(): number {
    return this.#count;
  }

  /** The canaries of a way that mail takes into the store; each for another part of the mail. */
  of(way: string): Record<Part, string> {
    const known = this.#byWay.get(way);
    if (known) return known;
    const make = (part: Part) => {
      // The last letters tell nothing, as base64 mixes them with what follows.
      const canary = `${this.mark}${String(this.#count++).padStart(3, "0")}zq`;
      for (const form of writings(canary))
        this.#names.set(form.toString("latin1"), `${way} ${part}`);
      return canary;
    };
    const made = {
      ...{ subject: make("subject"), text: make("text"), file: make("file") },
      ...{ content: make("content"), name: make("name"), address: make("address") },
    };
    this.#byWay.set(way, made);
    return made;
  }

  /** Those that stand in a file, in one of the writings that mail or a program may put them in, packed ones too. */
  async inFile(path: string): Promise<Set<string>> {
    const found = new Set<string>();
    const file = await open(path);
    try {
      const { size } = await file.stat();
      const buffer = Buffer.allocUnsafe(Math.min(size + 1, chunkSize));
      let at = 0;
      for (;;) {
        const { bytesRead } = await file.read(buffer, 0, buffer.length, at);
        const bytes = buffer.subarray(0, bytesRead);
        if (at === 0) this.#lookAt(unpacked(bytes), found);
        if (!bytes.equals(zeros.subarray(0, bytesRead))) this.#lookAt(bytes, found);
        if (bytesRead < chunkSize) return found;
        at += chunkSize - 1024; // one that lies across the seam is seen whole by the next look
      }
    } finally {
      await file.close();
    }
  }

  /** Those in the files of a folder and in their names, with the file's path: "canary in path". */
  async below(folder: string): Promise<string[]> {
    const found: string[] = [];
    for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
      const path = join(entry.parentPath, entry.name);
      if (entry.name.includes(this.mark)) found.push(`${entry.name} names ${path}`);
      if (!entry.isFile()) continue;
      // A file of a running server may be gone by now.
      const canaries = await this.inFile(path).catch(ignoreAbsent);
      for (const canary of canaries) found.push(`${canary} in ${path}`);
    }
    return found;
  }

  #lookAt(bytes: Buffer, found: Set<string>): void {
    const lengths = writings(`${this.mark}000zq`).map(({ length }) => length);
    for (const [which, mark] of this.#marks.entries()) {
      let at = bytes.indexOf(mark);
      for (; at >= 0; at = bytes.indexOf(mark, at + 1)) {
        const writing = bytes.toString("latin1", at, at + (lengths[which] ?? 0));
        found.add(this.#names.get(writing) ?? "a part of a canary");
      }
    }
  }
}

function ignoreAbsent(error: unknown): Set<string> {
  if (error instanceof Error && "code" in error && error.code === "ENOENT") return new Set();
  throw error;
}

/** As text (quoted-printable leaves letters alone), capitals (SORT), UTF-16, hexadecimal, base64. */
function writings(text: string): Buffer[] {
  const plain = Buffer.from(text);
  // Without its last zero it is the same in both orders of bytes.
  const utf16 = Buffer.from(text, "utf16le").subarray(0, -1);
  return [
    ...[plain, Buffer.from(text.toUpperCase()), utf16, Buffer.from(plain.toString("hex"))],
    ...[...inBase64(plain), ...inBase64(utf16)],
  ];
}

/** What of the bytes' base64 is the same whatever stands around them, for each place in a group of three. */
function inBase64(bytes: Buffer): Buffer[] {
  return [0, 1, 2].map((shift) => {
    const text = Buffer.concat([Buffer.alloc(shift), bytes]).toString("base64");
    const [from, to] = [Math.ceil((shift * 8) / 6), Math.floor(((shift + bytes.length) * 8) / 6)];
    return Buffer.from(text.slice(from, to));
  });
}

/** What is in it where it begins as gzip's files do; else nothing. */
function unpacked(bytes: Buffer): Buffer {
  if (bytes.length === chunkSize || bytes[0] !== 0x1f || bytes[1] !== 0x8b) return Buffer.alloc(0);
  try {
    return gunzipSync(bytes);
  } catch {
    return Buffer.alloc(0); // it only began like one
  }
}

/** A mail with a canary in each part, in the encodings that mail has; `size`: of its attachment, at least. */
export async function compose(
  canary: Record<Part, string>,
  mail: { way: string; to: string; from?: string; size?: number },
): Promise<Buffer> {
  const line = `${canary.content} and more\n`;
  const sent = await createTransport({ streamTransport: true, buffer: true }).sendMail({
    from: { name: canary.name, address: mail.from ?? `${canary.address}@outside.example` },
    to: mail.to,
    subject: `${canary.subject} grüßt`,
    text: `${canary.text} grüßt\n`,
    headers: { "X-Way": mail.way },
    attachments: [
      {
        filename: `${canary.file}.txt`,
        content: line.repeat(Math.ceil((mail.size ?? 1) / line.length)),
      },
      { filename: "wide.txt", content: Buffer.from(`${canary.content}\n`, "utf16le") },
    ],
  });
  if (!Buffer.isBuffer(sent.message)) throw new Error("nodemailer gave no buffer");
  return sent.message;
}
