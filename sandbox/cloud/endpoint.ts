import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { ifExists, writeFileAtomic } from "../files.ts";

const endpointSchema = z.object({
  /** Of the API, without a path: `http://127.0.0.1:PORT`. */
  url: z.url(),
  token: z.string(),
  pid: z.int(),
  /** The machine as guests see it, and the resolver that they ask. */
  hostAddress: z.string(),
  resolverAddress: z.string(),
});
export type Endpoint = z.infer<typeof endpointSchema>;

const fileIn = (dir: string) => join(dir, "endpoint.json");

/** The endpoint last written, whether it still answers or not; a broken file counts as none. */
export async function readEndpoint(dir: string): Promise<Endpoint | undefined> {
  const text = await ifExists(readFile(fileIn(dir), "utf8"));
  if (text === undefined) return undefined;
  return endpointSchema.safeParse(parsed(text)).data;
}

/** Readable by its owner only: it holds the token. */
export async function writeEndpoint(dir: string, endpoint: Endpoint): Promise<void> {
  await writeFileAtomic(fileIn(dir), `${JSON.stringify(endpoint, null, 2)}\n`, 0o600);
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
