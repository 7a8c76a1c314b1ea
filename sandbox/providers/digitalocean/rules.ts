import type { Attribute, Properties, Value } from "../kit.ts";

/** Checks and readers that several resources share. */

export const notEmpty = (value: Value): string | undefined =>
  value === "" || value === 0 ? "must not be empty" : undefined;

export const between =
  (least: number, most: number) =>
  (value: Value): string | undefined =>
    typeof value === "number" && Number.isInteger(value) && value >= least && value <= most
      ? undefined
      : `expected an integer in the range (${least} - ${most}), got ${value}`;

export const oneOf =
  (...names: string[]) =>
  (value: Value): string | undefined =>
    typeof value === "string" && names.includes(value)
      ? undefined
      : `expected one of [${names.map((name) => `"${name}"`).join(" ")}], got ${value}`;

const tagName = /^[a-zA-Z0-9:_-]{1,255}$/;
const tagRule =
  "tags may contain lowercase letters, numbers, colons, dashes, and underscores; " +
  "there is a limit of 255 characters per tag";

export const isTag = (value: Value): string | undefined =>
  typeof value === "string" && !tagName.test(value) ? tagRule : undefined;

/** A set of tags. */
export const tags: Attribute = {
  set: true,
  validate: (value) =>
    Array.isArray(value) ? value.map(isTag).find((reason) => reason !== undefined) : undefined,
};

export const text = (value: Value | undefined): string => (typeof value === "string" ? value : "");
export const number = (value: Value | undefined): number => (typeof value === "number" ? value : 0);
export const texts = (value: Value | undefined): string[] =>
  Array.isArray(value) ? value.map(text) : [];
export const numbers = (value: Value | undefined): number[] =>
  Array.isArray(value) ? value.map(number) : [];

export const lowerCase = (value: string): string => value.toLowerCase();

/** Runs a step and puts in front of its error what failed. */
export async function step<Result>(what: string, work: () => Promise<Result>): Promise<Result> {
  try {
    return await work();
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new Error(`${what}: ${reason}`, { cause: error });
  }
}

/** Runs a step whose object may be gone already. */
export async function tolerateGone(work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    const { isNotFound } = await import("./http.ts");
    const cause = error instanceof Error ? (error.cause ?? error) : error;
    if (!isNotFound(cause)) throw error;
  }
}

/** Properties that are given in the program and never read from the API. */
export function only(properties: Properties, names: readonly string[]): Properties {
  return Object.fromEntries(
    names.flatMap((name): [string, Value][] => {
      const value = properties[name];
      return value === undefined || value === null ? [] : [[name, value]];
    }),
  );
}

/** An id for what has none of its own: prefix, time, counter (in the real plugin's form). */
export function uniqueId(prefix: string): string {
  counter = (counter + 1) & 0xffffffff;
  const digits = new Date().toISOString().replace(/\D/g, "").padEnd(20, "0").slice(2, 20);
  return `${prefix}${digits}${counter.toString(16).padStart(8, "0")}`;
}
let counter = 0;
