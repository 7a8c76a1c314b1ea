import { z } from "zod";

const server = z.object({
  host: z.string(),
  port: z.number().default(22),
  user: z.string().default("root"),
  password: z.string().optional(),
  privateKey: z.string().optional(),
  privateKeyPassword: z.string().optional(),
  agentSocketPath: z.string().optional(),
  /** Dials that may fail; -1 for any number. */
  dialErrorLimit: z.number().default(10),
  /** Seconds for the TCP connection of one dial; 0 for any time. */
  perDialTimeout: z.number().default(15),
  /** An OpenSSH public key; without it every host key is accepted. */
  hostKey: z.string().optional(),
});

const command = z.object({
  connection: server.extend({ proxy: server.optional() }),
  create: z.string().optional(),
  update: z.string().optional(),
  delete: z.string().optional(),
  stdin: z.string().optional(),
  /** stdout, stderr, stdoutAndStderr; the real plugin takes any other word for "none". */
  logging: z.string().default("stdoutAndStderr"),
  environment: z.record(z.string(), z.string()).default({}),
  addPreviousOutputInEnv: z.boolean().default(true),
});

export type Server = z.infer<typeof server>;
export type Connection = z.infer<typeof command>["connection"];
export type Command = z.infer<typeof command>;

/** Output of the last run, "" if there was none. */
export interface Output {
  stdout: string;
  stderr: string;
}
const output = z.object({ stdout: z.string().default(""), stderr: z.string().default("") });

/**
 * Reads a command's properties after Check.
 * @throws Error that names the ill-typed properties and never their values.
 */
export function parseCommand(properties: unknown): Command {
  return parse(command, properties);
}

export function parseOutput(state: unknown): Output {
  return parse(output, state);
}

function parse<Result>(schema: z.ZodType<Result>, value: unknown): Result {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const places = result.error.issues.map((issue) => issue.path.join("."));
  throw new Error(`these properties of the command have a wrong type: ${places.join(", ")}`);
}
