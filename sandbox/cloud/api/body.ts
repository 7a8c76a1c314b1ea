import type { Context } from "hono";
import { z } from "zod";
import { badRequest, unprocessable } from "./errors.ts";

/** The request's JSON by `schema`; 400 where it is no JSON, 422 where it does not fit. */
export async function body<T>(c: Context, schema: z.ZodType<T>): Promise<T> {
  const text = await c.req.text();
  let value: unknown;
  try {
    value = text === "" ? {} : JSON.parse(text);
  } catch {
    throw badRequest("The request body is not valid JSON.");
  }
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  throw unprocessable(`${issue?.path.join(".") || "body"}: ${issue?.message}`);
}

/** A list that clients leave out, or send as `null`, when it is empty. */
export function list<T extends z.ZodType>(item: T) {
  return z
    .array(item)
    .nullish()
    .transform((items) => items ?? []);
}

/** A text that clients leave out, or send as `null`, when it is empty. */
export const maybeText = z
  .string()
  .nullish()
  .transform((value) => value ?? "");

/** A switch that clients leave out, or send as `null`, when it is off. */
export const maybeTrue = z
  .boolean()
  .nullish()
  .transform((value) => value ?? false);
