/** Times the parts of a longer work, one after another. */
export class Stopwatch {
  readonly #parts: { name: string; seconds: number }[] = [];

  /** Runs a part and remembers how long it took. */
  async time<T>(name: string, work: () => Promise<T>): Promise<T> {
    const started = performance.now();
    try {
      return await work();
    } finally {
      this.#parts.push({ name, seconds: (performance.now() - started) / 1000 });
    }
  }

  /** "setup 2.0 s, pulumi up 61.3 s" */
  toString(): string {
    return this.#parts.map(({ name, seconds }) => `${name} ${seconds.toFixed(1)} s`).join(", ");
  }
}
