// What the language host reads. By hand: every pulumi command starts that host twice and waits for it, and loading
// zod would be a third of that time.

/** Of a package.json. */
export interface Manifest {
  version: string;
  /** Names of the packages that it depends on. */
  dependencies: string[];
  /** The name of the plugin that the package needs; undefined where it is no provider's SDK. */
  plugin: string | undefined;
}

/** Reads the text of the package.json of the package `name`; what it leaves out is empty. */
export function parseManifest(name: string, text: string): Manifest {
  const { version, dependencies, pulumi } = members(JSON.parse(text));
  const { resource, name: plugin } = members(pulumi);
  const own = typeof plugin === "string" ? plugin : name.replace("@pulumi/", "");
  return {
    version: typeof version === "string" ? version : "0.0.0",
    dependencies: Object.keys(members(dependencies)),
    plugin: resource === true ? own : undefined,
  };
}

/** `runtime.options` of Pulumi.yaml. */
export interface RuntimeOptions {
  typescript: boolean;
  tsconfig: string | undefined;
}

/** @throws Error with a sentence for options that the host doesn't know: they would change what runs. */
export function parseRuntimeOptions(value: unknown): RuntimeOptions {
  const { typescript = true, tsconfig, ...others } = members(value);
  const [unknown] = Object.keys(others);
  if (unknown !== undefined) {
    throw new Error(
      `Pulumi.yaml, runtime.options: ${unknown}: the sandbox's language host knows only typescript and tsconfig.`,
    );
  }
  if (typeof typescript !== "boolean") {
    throw new Error("Pulumi.yaml, runtime.options: typescript has to be true or false.");
  }
  if (tsconfig !== undefined && typeof tsconfig !== "string") {
    throw new Error("Pulumi.yaml, runtime.options: tsconfig has to be the name of a file.");
  }
  return { typescript, tsconfig };
}

function members(value: unknown): Record<string, unknown> {
  return typeof value === "object" && value !== null
    ? Object.fromEntries(Object.entries(value))
    : {};
}
