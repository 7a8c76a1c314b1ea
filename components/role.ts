import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join, relative } from "node:path";
import * as pulumi from "@pulumi/pulumi";
import { parse, Scalar, stringify } from "yaml";
import { z } from "zod";
import { applyProgram, type Host } from "./host.ts";
import { checkNames, fill, type Template } from "./template.ts";

const filesDir = join(import.meta.dirname, "..", "files");

const ownership = z.strictObject({
  owner: z.string().default("root"),
  group: z.string().default("root"),
  mode: z.string().regex(/^0[0-7]{3}$/, 'must be a mode such as "0640"'),
});

/** role.yaml: what a role is beside its files. What each key does on the server: files/apply/apply. */
const manifestSchema = z.strictObject({
  packages: z.array(z.string()).default([]),
  /** Owner, group and mode of the files that are not root's with 0644. */
  files: z.record(z.string().startsWith("/"), ownership).default({}),
  directories: z.record(z.string().startsWith("/"), ownership).default({}),
  before: z.array(z.string()).default([]),
  check: z.array(z.string()).default([]),
  after: z.array(z.string()).default([]),
  units: z.record(z.string(), z.enum(["reload", "restart", "reload-if-active"])).default({}),
});

/** One folder of files/, as read from disk. */
export interface RoleFolder {
  name: string;
  manifest: z.output<typeof manifestSchema>;
  /** By absolute path on the server. */
  files: Map<string, Template>;
}

/** Reads files/NAME; throws if role.yaml is wrong or names a file that isn't there. */
export function readRoleFolder(name: string, base = filesDir): RoleFolder {
  const folder = join(base, name);
  const parsed = manifestSchema.safeParse(parse(readFileSync(join(folder, "role.yaml"), "utf8")));
  if (!parsed.success)
    throw new pulumi.RunError(`files/${name}/role.yaml: ${z.prettifyError(parsed.error)}`);
  const files = new Map<string, Template>();
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    const path = relative(folder, join(entry.parentPath, entry.name));
    if (entry.isDirectory() || path === "role.yaml") continue;
    if (!entry.isFile())
      throw new pulumi.RunError(`files/${name}/${path} is no regular file; a role has only those`);
    files.set(`/${path}`, {
      origin: `files/${name}/${path}`,
      text: readFileSync(join(folder, path), "utf8"),
    });
  }
  const absent = Object.keys(parsed.data.files).filter((path) => !files.has(path));
  if (absent.length > 0)
    throw new pulumi.RunError(`files/${name}/role.yaml: no such file: ${absent.join(", ")}`);
  return { name, manifest: parsed.data, files };
}

/** What YAML 1.1 can't write as it is, or takes for a line's end. */
const unprintable =
  /[^\t\n\r\x20-\x7e\u00a0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\u{10000}-\u{10ffff}]/u;

/** A file's text in YAML: line below line where that reads back the same, else in quotes. */
function readable(origin: string, text: string): Scalar<string> {
  const line = text.split("\n").findIndex((each) => unprintable.test(each)) + 1;
  if (line > 0)
    throw new pulumi.RunError(
      `${origin}:${line}: a control character, as in no configuration file`,
    );
  const scalar = new Scalar(text);
  const asLines = text.includes("\n") && text.trim() !== "";
  scalar.type = asLines ? Scalar.BLOCK_LITERAL : Scalar.QUOTE_DOUBLE;
  return scalar;
}

/** A file as it will lie on the server. */
export interface ServerFile {
  path: string;
  owner: string;
  group: string;
  mode: string;
  text: string;
  /** The template, as an error names it. */
  origin: string;
}

/** A role's files, in the order of their paths. */
export function filesOf(folder: RoleFolder, values: Record<string, string>): ServerFile[] {
  return [...folder.files]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([path, template]) => {
      const owned = folder.manifest.files[path] ?? { owner: "root", group: "root", mode: "0644" };
      return { path, ...owned, text: fill(template, values), origin: template.origin };
    });
}

/**
 * A role as one YAML document, the input of files/apply/apply: readable text, in which `pulumi preview --diff` shows the
 * lines that will change on the server. Its last line changes with any other and names what will be reloaded.
 */
export function renderRole(folder: RoleFolder, values: Record<string, string>): string {
  const { manifest } = folder;
  const files = filesOf(folder, values).map(
    ({ path, origin, text, ...owned }) =>
      [path, { ...owned, text: readable(origin, text) }] as const,
  );
  const document = {
    role: folder.name,
    directories: manifest.directories,
    files: Object.fromEntries(files),
    before: manifest.before,
    check: manifest.check,
    after: manifest.after,
    units: manifest.units,
  };
  const digest = createHash("sha256").update(JSON.stringify(document)).digest("hex").slice(0, 12);
  const consequences = Object.entries(manifest.units).map(([unit, verb]) => `${verb} ${unit}`);
  const revision = [`${digest}:`, consequences.join(", ") || "nothing to reload"].join(" ");
  return stringify(
    { ...document, revision },
    { version: "1.1", lineWidth: 0, blockQuote: "literal" },
  );
}

export interface RoleArgs {
  host: Host;
  folder: RoleFolder;
  /** The values of the names in its files. */
  variables: Record<string, pulumi.Input<string>>;
  /** Whether a value is secret: the role's text is then encrypted in the state, and no preview shows it. */
  secret?: boolean;
  /** Roles, and whatever else must be there before. */
  after?: pulumi.Resource[];
}

/** A folder of files/ on a server, applied as a transaction by one remote command. */
export class Role extends pulumi.ComponentResource {
  /** The text that the server got; it changes whenever the role does. */
  readonly text: pulumi.Output<string>;
  readonly #command: pulumi.Resource;

  constructor(name: string, args: RoleArgs, opts: pulumi.ComponentResourceOptions) {
    super("mailfruit:role:Role", name, {}, opts);
    const { folder, host } = args;
    checkNames(
      [...folder.files.values()],
      Object.keys(args.variables),
      `components/roles/${folder.name}.ts`,
    );
    this.text = pulumi.output(args.variables).apply((values) => renderRole(folder, values));
    const after = (args.after ?? []).map((one) => (one instanceof Role ? one.#command : one));
    this.#command = host.command(folder.name, {
      run: applyProgram,
      stdin: this.text,
      secret: args.secret ?? false,
      dependsOn: [...host.prepared, ...after],
      parent: this,
    });
    this.registerOutputs({});
  }
}

/** Makes a role of a server: what its folder and its variables are, and what has to be there before. */
export type MakeRole = (
  role: { folder: RoleFolder },
  variables: RoleArgs["variables"],
  after: pulumi.Resource[],
  options?: { secret?: boolean },
) => Role;

/** Makes the roles of a server, each named after its folder. */
export function roleMaker(name: string, host: Host, parent: pulumi.Resource): MakeRole {
  return ({ folder }, variables, after, { secret = false } = {}) =>
    new Role(`${name}-${folder.name}`, { host, folder, variables, after, secret }, { parent });
}
