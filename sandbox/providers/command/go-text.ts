/** Error texts in the words of the Go libraries that the real plugin is made of. */

const escapes: Record<string, string> = {
  "\x07": "\\a",
  "\b": "\\b",
  "\f": "\\f",
  "\n": "\\n",
  "\r": "\\r",
  "\t": "\\t",
  "\v": "\\v",
  '"': '\\"',
  "\\": "\\\\",
};

/** A string as Go's `%q` prints it. */
export function quote(text: string): string {
  const quoted = Array.from(text, (character) => {
    const short = escapes[character];
    if (short !== undefined) return short;
    return /^[\p{L}\p{M}\p{N}\p{P}\p{S} ]$/u.test(character) ? character : hexEscape(character);
  });
  return `"${quoted.join("")}"`;
}

function hexEscape(character: string): string {
  const code = character.codePointAt(0) ?? 0;
  if (code < 0x80) return `\\x${code.toString(16).padStart(2, "0")}`;
  if (code < 0x10000) return `\\u${code.toString(16).padStart(4, "0")}`;
  return `\\U${code.toString(16).padStart(8, "0")}`;
}

/** `host:port`, an IPv6 address in brackets. */
export function endpoint(host: string, port: number): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}

const systemErrors: Record<string, string> = {
  EACCES: "permission denied",
  ECONNREFUSED: "connection refused",
  ECONNRESET: "connection reset by peer",
  EHOSTUNREACH: "no route to host",
  ENETUNREACH: "network is unreachable",
  ENOENT: "no such file or directory",
  EPIPE: "broken pipe",
  ETIMEDOUT: "connection timed out",
};

/** What went wrong with a system call, without the addresses that Node puts in its message. */
export function systemError(error: Error): string {
  const code = errorCode(error);
  return code === undefined ? error.message : (systemErrors[code] ?? `${code}`);
}

/** `ECONNREFUSED` and the like; that of the first address where a name has several. */
export function errorCode(error: Error): string | undefined {
  if ("code" in error && typeof error.code === "string") return error.code;
  if (!(error instanceof AggregateError)) return undefined;
  const first: unknown = error.errors[0];
  return first instanceof Error ? errorCode(first) : undefined;
}

/** Why a TCP connection could not be made. */
export function dialError(error: Error, host: string, port: number): Error {
  const code = errorCode(error);
  if (code === "ENOTFOUND") return new Error(`dial tcp: lookup ${host}: no such host`);
  if (code === "EAI_AGAIN") return new Error(`dial tcp: lookup ${host}: server misbehaving`);
  return new Error(`dial tcp ${endpoint(host, port)}: connect: ${systemError(error)}`);
}
