/**
 * Writes docs/settings.md from the settings themselves: sentences and defaults from Pulumi.yaml, values from settings.ts.
 *
 *     node docs/generate.ts            writes the file
 *     node docs/generate.ts --check    ends with 1 where the file is stale
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parse } from "yaml";
import { z } from "zod";
import { mailboxesExample, mailboxKeys } from "../settings/mailboxes.ts";
import { type Field, fields, settingCommand } from "../settings.ts";

const root = join(import.meta.dirname, "..");
const target = join(root, "docs", "settings.md");

const project = z.looseObject({
  config: z.record(
    z.string(),
    z.strictObject({
      type: z.string(),
      default: z.union([
        z.string(),
        z.strictObject({}).transform((value) => JSON.stringify(value)),
      ]),
      description: z.string(),
    }),
  ),
});

/** A text that no setting takes. */
const impossible = "\u0000";

const alternatives = new Intl.ListFormat("en-GB", { type: "disjunction" });

const code = (text: string) => `\`${text}\``;

/** What a setting takes, in words: "`true` or `false`", "a whole number from 1 to 65535", "… or empty". */
export function valuesOf(type: z.ZodType<unknown, string>): string {
  const schema = shape.parse(z.toJSONSchema(type, { io: "input" }));
  if (schema.const !== undefined)
    return `only ${schema.const === "" ? "empty" : code(schema.const)}`;
  if (schema.enum) return alternatives.format(schema.enum.map(code));
  const longest = schema.maxLength ?? schema.anyOf?.at(-1)?.maxLength;
  const limit = longest === undefined ? "" : `, ${longest} characters at most`;
  const mayBeEmpty = type.safeParse("").success ? ", or empty" : "";
  return messageOf(type).replace(/^must be /, "") + limit + mayBeEmpty;
}

const length = z.looseObject({ maxLength: z.number().optional() });
const shape = length.extend({
  const: z.string().optional(),
  enum: z.array(z.string()).optional(),
  anyOf: z.array(length).optional(),
});

/** The type's own words for what it wants; of a union those of its last branch, as the program reports them. */
function messageOf(type: z.ZodType<unknown, string>): string {
  const { error } = type.safeParse(impossible);
  let issue = error?.issues[0];
  while (issue?.code === "invalid_union") issue = issue.errors.at(-1)?.[0];
  if (!issue)
    throw new Error("A setting takes any text: give its type in settings.ts a rule and a message.");
  return issue.message;
}

function defaultOf(text: string, field: Field): string {
  if (text !== "") return code(text);
  return field.type.safeParse("").success ? "empty" : "none: it must be set";
}

function section(
  key: string,
  field: Field,
  entry: { default: string; description: string },
): string {
  return `## ${key}

${entry.description}

- Values: ${valuesOf(field.type)}
- Default: ${defaultOf(entry.default, field)}
- Example: ${code(settingCommand(key, field))}
${structures[key] ?? ""}${field.secret ? "- A secret: encrypted in the stack's file, and refused in plain text.\n" : ""}`;
}

/** What stands in a structured setting. */
const structures: Record<string, string> = {
  mailboxes: `
In the stack's file:

\`\`\`yaml
${mailboxesExample}\`\`\`

Of each mailbox can be said:

${Object.entries(mailboxKeys)
  .map(([key, { meaning }]) => `- ${code(key)}: ${meaning}`)
  .join("\n")}

Addresses are in the mail domain, with letters, digits and \`. _ -\` before the @. Passwords never stand here: an
invitation lets the owner choose one, see [deploying](deploying.md#mailboxes-of-the-stack). A mailbox that is taken out
of the file stays on the server.
`,
};

/** The text of docs/settings.md. */
export function settingsReference(): string {
  const { config } = project.parse(parse(readFileSync(join(root, "Pulumi.yaml"), "utf8")));
  const all: Record<string, Field> = fields;
  const sections = Object.entries(config).map(([key, entry]) => {
    const field = all[key];
    if (!field) throw new Error(`Pulumi.yaml has the setting ${key}, and settings.ts doesn't.`);
    return section(key, field, entry);
  });
  return `${head}\n${sections.join("\n")}`;
}

const head = `<!-- Made by \`npm run docs\` from Pulumi.yaml and settings.ts: change those. -->
# Settings

A setting belongs to a stack and lies in its file, \`Pulumi.STACK.yaml\`. \`pulumi config set KEY VALUE\` writes it,
\`pulumi config rm KEY\` goes back to the default, \`pulumi config\` shows all of them.

Every \`preview\` and \`up\` checks them first. Unknown and misspelt keys, wrong values and settings that contradict each
other are reported together, each with the command that mends it, and nothing is changed.

The DigitalOcean provider has a setting of its own, \`digitalocean:token\`: see [deploying](deploying.md).
`;

function main(): void {
  const text = settingsReference();
  if (!process.argv.includes("--check")) {
    writeFileSync(target, text);
    return;
  }
  if (readFileSync(target, "utf8") === text) return;
  console.error("docs/settings.md is stale: run `npm run docs`.");
  process.exitCode = 1;
}

if (import.meta.main) main();
