import { parse, stringify } from "yaml";
import { z } from "zod";

export type ConfigValue =
  | string
  | number
  | boolean
  | ConfigValue[]
  | { [key: string]: ConfigValue };

const stackFile = z.looseObject({
  encryptionsalt: z.string().optional(),
  config: z.record(z.string(), z.unknown()).nullish(),
});

/**
 * The text of a stack's configuration file: that of `template` (text in the same format, "" for none) with
 * `overrides` over it, and `salt` in place of its own.
 */
export function renderStackConfig(
  project: string,
  template: string,
  overrides: Record<string, ConfigValue>,
  salt: string | undefined,
): string {
  const { encryptionsalt: _, config, ...rest } = stackFile.parse(parse(template) ?? {});
  const qualified = Object.entries(overrides).map(([key, value]) => [qualify(project, key), value]);
  return stringify({
    ...(salt !== undefined && { encryptionsalt: salt }),
    ...rest,
    config: { ...config, ...Object.fromEntries(qualified) },
  });
}

/** `text` with one setting changed. */
export function withValue(text: string, project: string, key: string, value: ConfigValue): string {
  const file = stackFile.parse(parse(text) ?? {});
  return stringify({ ...file, config: { ...file.config, [qualify(project, key)]: value } });
}

/** "mailDomain" -> "mailfruit:mailDomain", as Pulumi itself does. */
function qualify(project: string, key: string): string {
  return key.includes(":") ? key : `${project}:${key}`;
}
