import { accessOf, onionsOf } from "./access.ts";
import { connect, onServer, type Server } from "./connect.ts";
import { onionKey } from "./onion-key.ts";
import { runOnOurTerminal } from "./terminal.ts";

const program = "/usr/local/sbin/mailfruit";

const help = `usage: npm run mailfruit -- [--stack NAME] COMMAND …

Does what \`mailfruit COMMAND …\` does on a stack's server, by the stack's own SSH key and pinned host key.

  --stack NAME  the stack; if not given, the one that is selected (in the sandbox: dev)

\`onion key NAME [--service SERVICE]\` makes a key by which somebody reaches an onion service that is closed to others; it
is made here, shown once, and kept nowhere.

\`npm run --silent\` leaves npm's own lines out. What the server's program says of itself:
`;

/** `mailfruit ARGS` on a stack's server, for a person or a script; the exit code. */
export async function mailfruit(stack: string | undefined, args: string[]): Promise<number> {
  if (args.length === 0 || args[0] === "--help" || args[0] === "-h") console.log(help);
  if (args.some((arg) => arg.startsWith("--stack"))) {
    throw new Error("`--stack NAME` stands before the command, as in `--stack prod user list`.");
  }
  if (args[0] === "onion") return onionKey(args.slice(1), () => onionsOf(stack));
  const argv = [program, ...(args.length === 0 ? ["--help"] : args)];
  return onServer(
    async () => connect(await accessOf(stack)),
    (server) => runHere(server, argv),
  );
}

/** On a terminal where this process has one. */
function runHere(server: Server, argv: string[]): Promise<number> {
  const { stdin, stdout, stderr } = process;
  if (stdin.isTTY && stdout.isTTY) return runOnOurTerminal(server, argv);
  // A terminal would show what is typed into it; and of a script's input nothing is taken that isn't meant.
  const passed = !stdin.isTTY && argv.some(readsStdin);
  return server.run(argv, { stdout, stderr, ...(passed && { stdin }) });
}

/** Whether an argument is --password-stdin, or short for it. */
const readsStdin = (argument: string) =>
  /^--p[a-z-]*$/.test(argument) && "--password-stdin".startsWith(argument);
