import type { Resource } from "./provider.ts";
import type { Session } from "./session.ts";
import type { Properties, WireProperties } from "./values.ts";
import { hasSecret, markPropertiesLike, markSecret } from "./values.ts";

/** Puts back what is secret by declaration and what is secret because the input was. */
export function mark(
  session: Session,
  resource: Resource,
  outputs: Properties,
  ...sources: WireProperties[]
): WireProperties {
  const like = sources.reduceRight<WireProperties>(
    (marked, source) => markLikeAlso(outputs, marked, source),
    outputs,
  );
  const all = session.provider.secrecy === "any input" && sources[0] !== undefined;
  const everything = all && sources.some((source) => Object.values(source).some(hasSecret));
  return markSecret(like, everything ? "all" : (resource.secretOutputs ?? []));
}

function markLikeAlso(
  outputs: Properties,
  marked: WireProperties,
  source: WireProperties,
): WireProperties {
  const other = markPropertiesLike(outputs, source);
  return Object.fromEntries(
    Object.entries(marked).map(([name, value]) => [
      name,
      hasSecret(value) ? value : (other[name] ?? value),
    ]),
  );
}
