import type { Properties, Value } from "./values.ts";
import { equal, isObject } from "./values.ts";

export type ChangeKind = "add" | "delete" | "update";
/** Property path ("a.b[0]") -> what happens to it and whether that needs a new resource. */
export type Changes = Map<string, { kind: ChangeKind; replace: boolean }>;

const child = (path: string, name: string) =>
  /^[A-Za-z_$][\w$]*$/.test(name) ? `${path}.${name}` : `${path}[${JSON.stringify(name)}]`;

/** The leaves in which two values of one property differ. */
export function changesOf(
  path: string,
  old: Value | undefined,
  now: Value | undefined,
  replace: boolean,
): Changes {
  if (equal(old, now)) return new Map();
  if (old === undefined || old === null) return new Map([[path, { kind: "add", replace }]]);
  if (now === undefined || now === null) return new Map([[path, { kind: "delete", replace }]]);
  if (Array.isArray(old) && Array.isArray(now)) {
    const longest = Math.max(old.length, now.length);
    return merge(
      Array.from({ length: longest }, (_, i) =>
        changesOf(`${path}[${i}]`, old[i], now[i], replace),
      ),
    );
  }
  if (isObject(old) && isObject(now)) {
    const names = [...new Set([...Object.keys(old), ...Object.keys(now)])];
    return merge(names.map((name) => changesOf(child(path, name), old[name], now[name], replace)));
  }
  return new Map([[path, { kind: "update", replace }]]);
}

/** All leaves in which two bags differ; `replaceOn` names the properties that need a new resource. */
export function changesOfProperties(
  old: Properties,
  now: Properties,
  replaceOn: (name: string) => boolean = () => false,
): Changes {
  const names = [...new Set([...Object.keys(old), ...Object.keys(now)])].filter(
    (name) => !name.startsWith("__"),
  );
  return merge(names.map((name) => changesOf(name, old[name], now[name], replaceOn(name))));
}

export function merge(all: Changes[]): Changes {
  return new Map(all.flatMap((changes) => [...changes]));
}

/** The property at the root of a path. */
export const rootOf = (path: string): string => path.split(/[.[]/, 1)[0] ?? path;
