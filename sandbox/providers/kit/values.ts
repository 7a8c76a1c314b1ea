/**
 * Property values as the engine sends them: JSON plus unknowns (of a preview) and secrets.
 * On the wire both are encoded as marked strings and objects; the marks are Pulumi's.
 */

/** A value that only the real run will know. */
export class Unknown {
  readonly kind = "unknown";
}
export const unknown = new Unknown();

/** What resources work with: no secrets, unknowns in previews only. */
export type Value = null | boolean | number | string | Value[] | Properties | Unknown;
export interface Properties {
  [name: string]: Value;
}

class Secret {
  readonly kind = "secret";
  readonly value: Wire;
  constructor(value: Wire) {
    this.value = value;
  }
}
/** As it comes from the engine, secrets still marked. */
export type Wire = null | boolean | number | string | Wire[] | WireProperties | Unknown | Secret;
export interface WireProperties {
  [name: string]: Wire;
}

const signature = "4dabf18193072939515e22adb298388d";
const secretMark = "1b47061264138c4ac30d75fd1eb44270";
const outputMark = "d0e6a833031e9bbcd3f4e8bde6ca49a4";
const unknownStrings = new Set([
  "1c4a061d-8072-4f0a-a4cb-0ff528b18fe7", // boolean
  "3eeb2bf0-c639-47a8-9e75-3b44932eb421", // number
  "04da6b54-80e4-46f7-96ec-b56ff0331ba9", // string
  "6a19a0b0-7e62-4c92-b797-7f8e31da9cc2", // array
  "030794c1-ac77-496b-92df-f27374a8bd58", // asset
  "e48ece36-62e2-4504-bad9-02848725956a", // archive
  "dd056dcd-154b-4c76-9bd3-c8f88648b5ff", // object
]);
const unknownString = "04da6b54-80e4-46f7-96ec-b56ff0331ba9";

export function isObject(value: Value): value is Properties {
  return (
    typeof value === "object" &&
    value !== null &&
    !Array.isArray(value) &&
    !(value instanceof Unknown)
  );
}

function isWireObject(value: Wire): value is WireProperties {
  return (
    typeof value === "object" &&
    value !== null &&
    !Array.isArray(value) &&
    !(value instanceof Unknown) &&
    !(value instanceof Secret)
  );
}

/** Reads a value of a protobuf Struct as JavaScript. */
export function decode(value: unknown): Wire {
  if (value === undefined || value === null) return null;
  if (typeof value === "boolean" || typeof value === "number") return value;
  if (typeof value === "string") return unknownStrings.has(value) ? unknown : value;
  if (Array.isArray(value)) return value.map(decode);
  if (typeof value === "object") return decodeObject(Object.entries(value));
  throw new Error(`a property of type ${typeof value} cannot come from the engine`);
}

function decodeObject(entries: [string, unknown][]): Wire {
  const fields = new Map(entries);
  const mark = fields.get(signature);
  if (mark === secretMark) return new Secret(decode(fields.get("value")));
  if (mark === outputMark) {
    const inner = fields.has("value") ? decode(fields.get("value")) : unknown;
    return fields.get("secret") === true ? new Secret(inner) : inner;
  }
  return Object.fromEntries(entries.map(([name, field]) => [name, decode(field)]));
}

export function decodeProperties(value: unknown): WireProperties {
  const decoded = decode(value ?? {});
  if (!isWireObject(decoded)) throw new Error("the engine sent no object where one is due");
  return decoded;
}

/** A value for a protobuf Struct. */
export type Encoded = null | boolean | number | string | Encoded[] | { [name: string]: Encoded };

export function encode(value: Wire): Encoded {
  if (value instanceof Unknown) return unknownString;
  if (value instanceof Secret) return { [signature]: secretMark, value: encode(value.value) };
  if (Array.isArray(value)) return value.map(encode);
  if (isWireObject(value)) return encodeProperties(value);
  return value;
}

export function encodeProperties(properties: WireProperties): { [name: string]: Encoded } {
  return Object.fromEntries(
    Object.entries(properties).map(([name, value]) => [name, encode(value)]),
  );
}

/** The same value with no mark of secrecy. */
export function plain(value: Wire): Value {
  if (value instanceof Secret) return plain(value.value);
  if (Array.isArray(value)) return value.map(plain);
  if (isWireObject(value)) return plainProperties(value);
  return value;
}

export function plainProperties(properties: WireProperties): Properties {
  return Object.fromEntries(
    Object.entries(properties).map(([name, value]) => [name, plain(value)]),
  );
}

export function hasSecret(value: Wire): boolean {
  if (value instanceof Secret) return true;
  if (Array.isArray(value)) return value.some(hasSecret);
  return isWireObject(value) && Object.values(value).some(hasSecret);
}

/**
 * Marks as secret what is secret at the same place in `like`; a list with a secret in it as a
 * whole, since its elements may have moved.
 */
function markLike(value: Value, like: Wire): Wire {
  if (like instanceof Secret) return new Secret(value);
  if (Array.isArray(value)) return hasSecret(like) ? new Secret(value) : value;
  if (!isObject(value) || !isWireObject(like)) return value;
  return markPropertiesLike(value, like);
}

export function markPropertiesLike(properties: Properties, like: WireProperties): WireProperties {
  return Object.fromEntries(
    Object.entries(properties).map(([name, value]) => {
      const model = like[name];
      return [name, model === undefined ? value : markLike(value, model)];
    }),
  );
}

/** Marks the named properties (all of them if `names` is "all") as secret. */
export function markSecret(
  properties: WireProperties,
  names: readonly string[] | "all",
): WireProperties {
  return Object.fromEntries(
    Object.entries(properties).map(([name, value]) => {
      const due = names === "all" ? !name.startsWith("__") : names.includes(name);
      return [
        name,
        due && value !== null && !(value instanceof Secret) ? new Secret(value) : value,
      ];
    }),
  );
}

/** Whether two values say the same; an unknown equals nothing. */
export function equal(one: Value | undefined, other: Value | undefined): boolean {
  if (one instanceof Unknown || other instanceof Unknown) return false;
  if (one === undefined || one === null) return other === undefined || other === null;
  if (other === undefined || other === null) return false;
  if (Array.isArray(one) && Array.isArray(other)) {
    return one.length === other.length && one.every((element, i) => equal(element, other[i]));
  }
  if (isObject(one) && isObject(other)) {
    return [...new Set([...Object.keys(one), ...Object.keys(other)])].every((name) =>
      equal(one[name], other[name]),
    );
  }
  return one === other;
}
