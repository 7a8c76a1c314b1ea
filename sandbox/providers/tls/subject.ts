import type { Properties } from "../kit.ts";
import { isObject } from "../kit.ts";
import type { Bytes } from "./der.ts";
import { directoryString, elements, ia5String, oid, readOid, sequence, set } from "./der.ts";

/** Attributes in the order in which Go writes a name; several values of one share a SET. */
const attributes = [
  ["country", "2.5.4.6"],
  ["organization", "2.5.4.10"],
  ["organizationalUnit", "2.5.4.11"],
  ["locality", "2.5.4.7"],
  ["province", "2.5.4.8"],
  ["streetAddresses", "2.5.4.9"],
  ["postalCode", "2.5.4.17"],
  ["commonName", "2.5.4.3"],
  ["serialNumber", "2.5.4.5"],
] as const;

const emailAddress = "1.2.840.113549.1.9.1";

/** A distinguished name: values by attribute name; `emailAddress` too. */
export type Subject = Map<string, string[]>;

export function subjectOf(inputs: Properties): Subject {
  const given = inputs.subject;
  if (given === undefined || !isObject(given)) return new Map();
  return new Map(Object.entries(given).map(([name, value]) => [name, textsOf(value)]));
}

const textsOf = (value: Properties[string]): string[] =>
  (Array.isArray(value) ? value : [value]).filter(
    (text): text is string => typeof text === "string" && text !== "",
  );

/** A Name in DER. */
export function encodeSubject(subject: Subject): Buffer {
  const sets = attributes
    .map(([name, id]) =>
      (subject.get(name) ?? []).map((text) => sequence(oid(id), directoryString(text))),
    )
    .filter((values) => values.length > 0)
    .map((values) => set(...values));
  const emails = (subject.get("emailAddress") ?? []).map((text) =>
    set(sequence(oid(emailAddress), ia5String(text))),
  );
  return sequence(...sets, ...emails);
}

/** Reads a Name; attributes that Go does not know by name (an email address) are left out, as there. */
export function decodeSubject(name: Bytes): Subject {
  const subject: Subject = new Map();
  const pairs = elements(name).flatMap((relative) => elements(relative.content));
  for (const pair of pairs) {
    const [id, value] = elements(pair.content);
    if (id === undefined || value === undefined) continue;
    const known = attributes.find(([, dotted]) => dotted === readOid(id.content));
    if (known === undefined) continue;
    subject.set(known[0], [...(subject.get(known[0]) ?? []), value.content.toString()]);
  }
  return subject;
}
