/**
 * Runs one piece of work, never twice at the same time. `run()` resolves when a run that began
 * after the call has ended, so callers that come while one is under way share the next.
 */
export class Coalescer {
  readonly #work: () => Promise<void>;
  #current: Promise<void> = Promise.resolve();
  #next: Promise<void> | null = null;

  constructor(work: () => Promise<void>) {
    this.#work = work;
  }

  run(): Promise<void> {
    this.#next ??= this.#current.then(
      () => this.#begin(),
      () => this.#begin(),
    );
    return this.#next;
  }

  #begin(): Promise<void> {
    this.#next = null;
    this.#current = this.#work();
    return this.#current;
  }
}
