/** A line of this length makes the real plugin's line reader stop, and then the command hang. */
const maxLineBytes = 64 * 1024;

/** Splits what is written to it into lines, as they come. */
export class LogLines {
  /** Whether a line was too long for the real plugin. */
  tooLong = false;
  #rest: Buffer = Buffer.alloc(0);
  #show: (line: string) => void;

  constructor(show: (line: string) => void) {
    this.#show = show;
  }

  write(chunk: Buffer): void {
    let text = Buffer.concat([this.#rest, chunk]);
    for (let end = text.indexOf("\n"); end >= 0; end = text.indexOf("\n")) {
      this.#line(text.subarray(0, end));
      text = text.subarray(end + 1);
    }
    this.#rest = text;
  }

  /** Shows a last line that has no end. */
  close(): void {
    if (this.#rest.length > 0) this.#line(this.#rest);
    this.#rest = Buffer.alloc(0);
  }

  #line(bytes: Buffer): void {
    if (bytes.length >= maxLineBytes) this.tooLong = true;
    else this.#show(bytes.toString("utf8").replace(/\r$/, ""));
  }
}
