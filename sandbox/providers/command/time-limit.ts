/**
 * A signal that aborts with another one or when time is up. `AbortSignal.any` with a timeout would do
 * the same, but Node may collect the timeout as garbage, and then it never comes.
 */
export class TimeLimit {
  #controller = new AbortController();
  #timer: NodeJS.Timeout | undefined;
  #parent: AbortSignal;

  constructor(parent: AbortSignal, seconds: number | undefined) {
    this.#parent = parent;
    if (parent.aborted) this.#cancel();
    parent.addEventListener("abort", this.#cancel);
    if (seconds === undefined) return;
    const late = new Error("context deadline exceeded");
    this.#timer = setTimeout(() => this.#controller.abort(late), seconds * 1000);
  }

  /** Its reason is an Error in the real plugin's words. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** The work is done: nothing is to be aborted any more. */
  end(): void {
    clearTimeout(this.#timer);
    this.#parent.removeEventListener("abort", this.#cancel);
  }

  #cancel = () => this.#controller.abort(new Error("context canceled"));
}
