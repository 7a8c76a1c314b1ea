/**
 * A command line for the POSIX shell that sshd hands it to, in which every argument arrives as it is. Nothing but the
 * quote itself means anything between single quotes (POSIX, Shell Command Language, 2.2.2).
 */
export function commandLine(argv: string[]): string {
  return argv.map((word) => `'${word.replaceAll("'", `'\\''`)}'`).join(" ");
}
