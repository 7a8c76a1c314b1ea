import { isIP } from "node:net";
import { z } from "zod";
import { isOnionAddress } from "./onion-address.ts";

/** How a setting's text is read. */
export interface Field {
  type: z.ZodType<unknown, string>;
  /** A value that a mending command can show. */
  example: string;
  /** Where in a structured value the example stands. */
  path?: string;
  secret?: boolean;
}

/* What settings are texts of. */

const label = "[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?";
export const hostname = z
  .string()
  .regex(
    new RegExp(`^(${label}\\.)+(?!\\d+$)${label}$`),
    "must be a domain name in lower case, as example.org (names in other scripts as xn--…)",
  );
/** Linux's HOST_NAME_MAX, and the longest common name of a certificate (RFC 5280, ub-common-name). */
export const longestHostname = 64;
export const tooLong = `is longer than the ${longestHostname} characters that Linux takes`;
/** What leaves room for "mx." before it. */
export const longestDomain = longestHostname - 3;
export const email = z.email("must be a mail address, as anna@example.org");
export const flag = z
  .enum(["true", "false"], "must be true or false")
  .transform((value) => value === "true");
export const integer = (least: number, most: number) =>
  z
    .string()
    .regex(/^\d+$/, `must be a whole number from ${least} to ${most}`)
    .transform(Number)
    .refine((n) => n >= least && n <= most, `must be a whole number from ${least} to ${most}`);
export const slug = z
  .string()
  .regex(/^[a-z0-9][a-z0-9._-]*$/, "must be a DigitalOcean slug or number");
export const orEmpty = <T extends z.ZodType>(type: T) => z.union([z.literal(""), type]);
export const oneOf = <const T extends [string, ...string[]]>(...values: T) =>
  z.enum(values, `must be ${values.join(" or ")}`);
export const ip = z.string().refine((text) => isIP(text) !== 0, "must be an IPv4 or IPv6 address");
export const onion = z
  .string()
  .refine(isOnionAddress, "must be an onion name of 56 letters and digits and .onion");
export const hostAndPort = z
  .string()
  .regex(/^[a-z0-9]([a-z0-9.-]*[a-z0-9])?:\d{1,5}$/, "must be HOST:PORT");

/** Lines of text, empty ones and comments left out. */
export const lines = (line: RegExp, wanted: string) =>
  z
    .string()
    .transform((text) =>
      text
        .split("\n")
        .map((each) => each.trim())
        .filter((each) => each !== "" && !each.startsWith("#")),
    )
    .refine((each) => each.every((one) => line.test(one)), wanted);

/** A structured value, which the engine hands on as JSON. */
export const structure = <T extends z.ZodType>(type: T, wanted: string) =>
  z.string().transform((text, context): z.output<T> => {
    const read = type.safeParse(jsonOf(text));
    if (read.success) return read.data;
    for (const { path, message } of read.error.issues) {
      const place = path.length === 0 ? "" : `at ${path.map(String).join(".")}: `;
      context.addIssue({ code: "custom", message: `${wanted}; ${place}${message}` });
    }
    return z.NEVER;
  });

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
