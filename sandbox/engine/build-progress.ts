/** Turns what `go list` and `go build -v` print on stderr into a line for people. */
export class BuildProgress {
  #downloaded = 0;
  #compiled = 0;
  #expected = 0;

  /** Says how many packages the build is made of. */
  expect(packages: number): void {
    this.#expected = packages;
  }

  /** Takes one line that Go printed, returns where the build stands. */
  line(line: string): string {
    if (line.startsWith("go: downloading ")) {
      this.#downloaded += 1;
      return `Downloading Go modules: ${this.#downloaded} (${line.split(" ")[2] ?? ""})`;
    }
    if (!/^[\w.-]+(\/[\w.~-]+)*$/.test(line)) return line;
    if (this.#expected === 0) return `Reading Go packages (${line})`;
    this.#compiled += 1;
    const percent = Math.min(99, Math.floor((100 * this.#compiled) / this.#expected));
    return `Compiling the Pulumi CLI: ${this.#compiled} of ${this.#expected} packages, ${percent} %`;
  }
}
