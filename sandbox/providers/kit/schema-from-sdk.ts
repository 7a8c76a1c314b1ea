/**
 * Writes schemas/NAME.json from the SDK's declarations in node_modules/@pulumi/NAME:
 * `node sandbox/providers/kit/schema-from-sdk.ts NAME...` (all without a name).
 */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import ts from "typescript";
import { root } from "../../paths.ts";
import type { Fields, PackageSchema, ResourceSchema, Type } from "./schema.ts";
import { schemaFile } from "./schema-file.ts";

/** The types that the stand-ins serve. */
export const served: { [name: string]: string[] } = {
  command: ["command:remote:Command"],
  digitalocean: [
    "DnsRecord",
    "Domain",
    "Droplet",
    "Firewall",
    "ReservedIp",
    "ReservedIpAssignment",
    "SshKey",
    "Tag",
    "Volume",
    "VolumeAttachment",
  ].map((type) => bridgeToken("digitalocean", type)),
  tls: ["CertRequest", "LocallySignedCert", "PrivateKey", "SelfSignedCert"].map((type) =>
    bridgeToken("tls", type),
  ),
};

function bridgeToken(name: string, type: string): string {
  return `${name}:index/${lowerFirst(type)}:${type}`;
}

function lowerFirst(text: string): string {
  return text.charAt(0).toLowerCase() + text.slice(1);
}

/** Reads the declarations of one SDK. @throws Error if they have a shape that is not known here. */
export async function schemaFromSdk(name: string): Promise<PackageSchema> {
  const folder = join(root, "node_modules", "@pulumi", name);
  const manifest: unknown = JSON.parse(await readFile(join(folder, "package.json"), "utf8"));
  const tokens = served[name] ?? [];
  const files = tokens.map((token) => join(folder, `${pathOf(token)}.d.ts`));
  const program = ts.createProgram([...files, join(folder, "provider.d.ts")], {
    module: ts.ModuleKind.NodeNext,
    moduleResolution: ts.ModuleResolutionKind.NodeNext,
    strict: true,
    skipLibCheck: true,
    types: [],
  });
  const reader = new DeclarationReader(program);
  const resources = tokens.map((token, i): [string, ResourceSchema] => [
    token,
    reader.resource(files[i] ?? "", token.split(":")[2] ?? ""),
  ]);
  return {
    name,
    version: versionOf(manifest),
    config: reader.fields(join(folder, "provider.d.ts"), "ProviderArgs"),
    resources: Object.fromEntries(resources),
  };
}

/** "a:index/thing:Thing" -> "thing"; "a:remote:Command" -> "remote/command". */
function pathOf(token: string): string {
  const [, module = "", type = ""] = token.split(":");
  return module.startsWith("index/")
    ? module.slice("index/".length)
    : `${module}/${lowerFirst(type)}`;
}

function versionOf(manifest: unknown): string {
  if (typeof manifest !== "object" || manifest === null)
    throw new Error("package.json is no object");
  const version = new Map<string, unknown>(Object.entries(manifest)).get("version");
  if (typeof version !== "string") throw new Error("package.json has no version");
  return version;
}

class DeclarationReader {
  readonly #program: ts.Program;
  readonly #checker: ts.TypeChecker;

  constructor(program: ts.Program) {
    this.#program = program;
    this.#checker = program.getTypeChecker();
  }

  resource(file: string, type: string): ResourceSchema {
    return { inputs: this.fields(file, `${type}Args`), outputs: this.#outputs(file, type) };
  }

  fields(file: string, name: string): Fields {
    return this.#fieldsOf(this.#declaredType(file, name), name);
  }

  #declaredType(file: string, name: string): ts.Type {
    const source = this.#program.getSourceFile(file);
    const module = source && this.#checker.getSymbolAtLocation(source);
    const symbol = module?.exports?.get(ts.escapeLeadingUnderscores(name));
    if (symbol === undefined) throw new Error(`${file} exports no ${name}`);
    return this.#checker.getDeclaredTypeOfSymbol(symbol);
  }

  #fieldsOf(type: ts.Type, where: string): Fields {
    const fields = type.getProperties().map((property): [string, Fields[string]] => {
      const required = (property.flags & ts.SymbolFlags.Optional) === 0;
      const at = `${where}.${property.name}`;
      return [
        property.name,
        { type: this.#type(this.#checker.getTypeOfSymbol(property), at), required },
      ];
    });
    return Object.fromEntries(fields.sort(([one], [other]) => (one < other ? -1 : 1)));
  }

  /** The properties declared as outputs, whose type is Output<T>. */
  #outputs(file: string, name: string): Fields {
    const type = this.#declaredType(file, name);
    const own = type
      .getProperties()
      .filter((property) => property.valueDeclaration?.getSourceFile().fileName === file)
      .filter((property) =>
        this.#elementOf(this.#checker.getTypeOfSymbol(property), "OutputInstance"),
      );
    const fields = own.map((property): [string, Fields[string]] => {
      const output = this.#checker.getTypeOfSymbol(property);
      const value = this.#elementOf(output, "OutputInstance") ?? output;
      const required = !this.#members(value).some(isUndefined);
      return [property.name, { type: this.#type(value, `${name}.${property.name}`), required }];
    });
    return Object.fromEntries(fields.sort(([one], [other]) => (one < other ? -1 : 1)));
  }

  /** T of Promise<T>, OutputInstance<T>: also where it stands in an intersection or a union. */
  #elementOf(type: ts.Type, name: string): ts.Type | undefined {
    for (const member of type.isUnionOrIntersection() ? type.types : [type]) {
      if (member.symbol?.name !== name && member.aliasSymbol?.name !== name) continue;
      const [element] = this.#checker.getTypeArguments(member as ts.TypeReference); // generic, by its name
      if (element !== undefined) return element;
    }
    return undefined;
  }

  #members(type: ts.Type): ts.Type[] {
    return type.isUnion() ? type.types : [type];
  }

  /** What remains of Input<T>: T | Promise<T> | OutputInstance<T>, with undefined and null taken off. */
  #values(type: ts.Type): ts.Type[] {
    return this.#members(type).filter(
      (member) =>
        !isUndefined(member) && !["Promise", "OutputInstance"].includes(member.symbol?.name ?? ""),
    );
  }

  #type(type: ts.Type, where: string): Type {
    const values = this.#values(type);
    const [first] = values;
    if (first === undefined) return "any";
    const every = (flag: ts.TypeFlags) => values.every((value) => (value.flags & flag) !== 0);
    if (every(ts.TypeFlags.Any)) return "any";
    if (every(ts.TypeFlags.StringLike)) return "string";
    if (every(ts.TypeFlags.NumberLike)) return "number";
    if (every(ts.TypeFlags.BooleanLike)) return "boolean";
    if (values.length !== 1) return "any";
    return this.#compound(first, where);
  }

  #compound(type: ts.Type, where: string): Type {
    if (this.#checker.isArrayType(type)) {
      const [element] = this.#checker.getTypeArguments(type as ts.TypeReference); // an array is one
      if (element === undefined) throw new Error(`${where}: an array of what?`);
      return { list: this.#type(element, `${where}[]`) };
    }
    const index = type.getStringIndexType();
    if (index !== undefined) return { map: this.#type(index, `${where}{}`) };
    if ((type.flags & ts.TypeFlags.Object) !== 0) return { object: this.#fieldsOf(type, where) };
    throw new Error(`${where}: no rule for the type ${this.#checker.typeToString(type)}`);
  }
}

function isUndefined(type: ts.Type): boolean {
  return (type.flags & (ts.TypeFlags.Undefined | ts.TypeFlags.Null)) !== 0;
}

/** As it stands in schemas/NAME.json. */
export const schemaText = (schema: PackageSchema): string => `${JSON.stringify(schema, null, 2)}\n`;

if (import.meta.main) {
  const names = process.argv.length > 2 ? process.argv.slice(2) : Object.keys(served);
  for (const name of names)
    await writeFile(schemaFile(name), schemaText(await schemaFromSdk(name)));
}
