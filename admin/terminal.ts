import type { Server } from "./connect.ts";

/**
 * Runs a program for the person at this terminal, as `ssh -t` does: it has a terminal of its own, of the same size, and
 * Ctrl-C reaches it there. That terminal begins without echo, so that a password is never shown, also one that is typed
 * before it is asked for.
 */
export async function runOnOurTerminal(server: Server, argv: string[]): Promise<number> {
  const { stdin, stdout } = process;
  const { channel, exitCode } = await server.open(argv, {
    pty: {
      term: process.env.TERM ?? "dumb",
      cols: stdout.columns,
      rows: stdout.rows,
      modes: { ECHO: 0 },
    },
  });
  const resize = () => channel.setWindow(stdout.rows, stdout.columns, 0, 0);
  stdout.on("resize", resize);
  const restore = rawMode();
  stdin.pipe(channel);
  channel.pipe(stdout, { end: false });
  channel.stderr.resume(); // a terminal has one output; what nobody reads never ends
  try {
    return await exitCode;
  } finally {
    restore();
    stdout.off("resize", resize);
    stdin.unpipe(channel).pause();
  }
}

const deadly = ["SIGTERM", "SIGHUP", "SIGINT"] as const;

/** Hands every key to us as it is; returns what undoes it, which a signal that ends us does as well. */
function rawMode(): () => void {
  const back = () => process.stdin.setRawMode(false);
  const end = (signal: NodeJS.Signals) => {
    back();
    process.off(signal, end);
    process.kill(process.pid, signal);
  };
  for (const signal of deadly) process.on(signal, end);
  process.on("exit", back);
  process.stdin.setRawMode(true);
  return () => {
    for (const signal of deadly) process.off(signal, end);
    process.off("exit", back);
    back();
  };
}
