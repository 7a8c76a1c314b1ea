import { readFileSync } from "node:fs";
import { join } from "node:path";
import * as pulumi from "@pulumi/pulumi";

const filesDir = join(import.meta.dirname, "..", "files");

/** A text with `{{name}}` in it, and where it stands, for errors. */
export interface Template {
  /** Path below the project, as an error names it. */
  origin: string;
  text: string;
}

/** A file below files/. */
export function readTemplate(path: string): Template {
  return { origin: `files/${path}`, text: readFileSync(join(filesDir, path), "utf8") };
}

const placeholder = /\{\{([^{}\n]*)\}\}/g;

/** The names in a template, each with its line. */
export function placeholders(template: Template): { name: string; line: number }[] {
  return template.text
    .split("\n")
    .flatMap((text, index) =>
      [...text.matchAll(placeholder)].map((match) => ({ name: match[1] ?? "", line: index + 1 })),
    );
}

/** Throws one error that lists every name that templates want and nobody gives, or the other way round. */
export function checkNames(templates: Template[], given: string[], origin: string): void {
  const wanted = templates.flatMap((template) =>
    placeholders(template).map(({ name, line }) => ({ name, place: `${template.origin}:${line}` })),
  );
  const problems = [
    ...wanted
      .filter(({ name }) => !given.includes(name))
      .map(({ name, place }) => `${place}: {{${name}}} has no value`),
    ...given
      .filter((name) => !wanted.some((each) => each.name === name))
      .map((name) => `${origin}: ${name} is given and stands in no file`),
  ];
  if (problems.length > 0) throw new pulumi.RunError(problems.join("\n"));
}

/** Puts the values in; `checkNames` comes first where names are not known to fit. */
export function render(template: Template, values: Record<string, string>): string {
  checkNames([template], Object.keys(values), template.origin);
  return fill(template, values);
}

/** Puts in the values that the template names. */
export function fill(template: Template, values: Record<string, string>): string {
  return template.text.replaceAll(placeholder, (_, name: string) => values[name] ?? "");
}
