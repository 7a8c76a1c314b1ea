import { parseSettings, SettingsError } from "../../settings.ts";
import { defaults } from "./defaults.ts";

export const minimal = { mailDomain: "anna.example", adminEmail: "anna@elsewhere.example" };

/** Settings as a stack has them with these texts; `secret` has the keys that are secret in it beside those that must be. */
export function read(texts: Record<string, string>, secret: string[] = []) {
  const given = { ...defaults, ...minimal, ...texts };
  const full = Object.entries(given).map(([name, text]) => [`mailfruit:${name}`, text]);
  const secrets = ["sshPrivateKey", "onionSeed", ...secret].map((name) => `mailfruit:${name}`);
  return parseSettings(Object.fromEntries(full), { isSecret: (name) => secrets.includes(name) });
}

/** What is wrong with them. */
export function problemsOf(texts: Record<string, string>, secret?: string[]) {
  try {
    read(texts, secret);
  } catch (error) {
    if (error instanceof SettingsError) return error.problems;
    throw error;
  }
  return [];
}

/** Keys with what is said of them. */
export const said = (texts: Record<string, string>) =>
  problemsOf(texts).map(({ key, message }) => `${key.replace("mailfruit:", "")}: ${message}`);
