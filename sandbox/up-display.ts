/** What one line of pulumi's plain output is to somebody who watches. */
export type Line =
  /** Stays. */
  | { kind: "event"; text: string }
  /** Worth showing until the next one comes. */
  | { kind: "progress"; text: string }
  | { kind: "noise" };

const step = /^\s*(\S{1,3}) +\S+:\S+ (\S+) (\S+ing|\S+ed|read|refresh) \(([\d.]+s)\) ?(.*)$/s;

/**
 * Sorts the lines of `pulumi up --non-interactive`: which resources are done and what failed stays, what they say
 * while they work passes by, the outputs are left out. One reader for each run.
 */
export function lineReader(): (line: string) => Line {
  let inOutputs = false;
  return (line) => {
    if (/^\S/.test(line)) inOutputs = line.startsWith("Outputs:");
    if (inOutputs || isNoise(line)) return { kind: "noise" };
    const match = step.exec(line);
    if (!match) return { kind: "event", text: line };
    const [, sign, name, state = "", time, message] = match;
    if (state === "refresh") return { kind: "noise" };
    if (!state.endsWith("ing"))
      return { kind: "event", text: `  ${sign} ${name} ${state} (${time})` };
    const said = message?.split("\r").at(-1)?.trim(); // a server may count up in one line
    return { kind: "progress", text: `${name} (${time}) ${said || state}` };
  };
}

/** Blank lines, signs of life, and resources to which nothing happens. */
function isNoise(line: string): boolean {
  const text = line.trim();
  return text === "" || /^@ \w+\.+$/.test(text) || /^\w+:\S+:\S+ [^\s(]\S*( running)?$/.test(text);
}

/**
 * Writes what pulumi prints for a person: on a terminal what passes by takes one line that is overwritten;
 * elsewhere a line of it comes every ten seconds, so that a log shows that it goes on.
 */
export class UpDisplay {
  readonly #out: NodeJS.WriteStream;
  readonly #live: boolean;
  readonly #read = lineReader();
  #nextProgress = Date.now() + 10_000;

  constructor(out: NodeJS.WriteStream) {
    this.#out = out;
    this.#live = out.isTTY === true && !process.env.CI;
  }

  show(raw: string): void {
    const line = this.#read(raw);
    if (line.kind === "event") this.#keep(line.text);
    if (line.kind === "progress") this.#pass(line.text);
  }

  /** Clears what is left of the line that passes by. */
  end(): void {
    if (this.#live) this.#out.write("\r\x1b[2K");
  }

  #keep(text: string): void {
    this.end();
    this.#out.write(`${text}\n`);
  }

  #pass(text: string): void {
    if (this.#live) {
      const width = Math.max(20, (this.#out.columns ?? 80) - 4);
      this.#out.write(`\r\x1b[2K  … ${printable(text).slice(0, width - 1)}`);
    } else if (Date.now() >= this.#nextProgress) {
      this.#nextProgress = Date.now() + 10_000;
      this.#out.write(`  … ${text}\n`);
    }
  }
}

/** A server's output must not move the terminal's cursor. */
function printable(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is meant
  return text.replace(/[\x00-\x1f\x7f-\x9f]/g, " ");
}
