import { isIPv4, isIPv6 } from "node:net";
import { z } from "zod";
import { unprocessable } from "./errors.ts";
import type { Domain, DomainRecord } from "./state.ts";

const maybeNumber = z.number().int().nullish();

export const recordRequest = z.object({
  type: z.string().nullish(),
  name: z.string().nullish(),
  data: z.string().nullish(),
  ttl: maybeNumber,
  priority: maybeNumber,
  port: maybeNumber,
  weight: maybeNumber,
  flags: maybeNumber,
  tag: z.string().nullish(),
});
export type RecordRequest = z.infer<typeof recordRequest>;
export type RecordFields = Omit<DomainRecord, "id">;

const types = ["A", "AAAA", "CAA", "CNAME", "MX", "NS", "SRV", "TXT"] as const;
type EditableType = (typeof types)[number];

const shortestTtl = 30;
/** Of a TXT record; DigitalOcean counts the text as it is sent. */
const longestText = 512;

/** The record that a request asks for, in the form in which it is kept; throws DigitalOcean's 422s. */
export function newRecord(request: RecordRequest, domain: Domain): RecordFields {
  const type = types.find((one) => one === (request.type ?? "").toUpperCase());
  if (!type) throw unprocessable("Type is not included in the list");
  return checked(type, request, domain, null);
}

/** As `newRecord`; what the request leaves out stays, the type always does. */
export function editedRecord(
  record: DomainRecord,
  request: RecordRequest,
  domain: Domain,
): RecordFields {
  const type = types.find((one) => one === record.type);
  if (!type) throw unprocessable("The SOA record can't be edited.");
  const given = Object.fromEntries(
    Object.entries(request).filter(([, value]) => value !== null && value !== undefined),
  );
  return checked(type, { ...record, ...given }, domain, record);
}

function checked(
  type: EditableType,
  request: RecordRequest,
  domain: Domain,
  self: DomainRecord | null,
): RecordFields {
  const name = ownName(request.name ?? "@", domain.name);
  const data = dataOf(type, request, domain.name);
  const ttl = request.ttl ?? domain.ttl;
  if (ttl < shortestTtl) throw unprocessable("TTL must be greater than or equal to 30");
  const others = domain.records.filter((one) => one !== self && one.name === name);
  if (others.some((one) => (type === "CNAME") !== (one.type === "CNAME"))) {
    throw unprocessable("CNAME records cannot share a name with other records");
  }
  if (type === "CNAME" && others.length > 0) {
    throw unprocessable("CNAME records cannot share a name with other records");
  }
  return { type, name, data, ttl, ...numbersOf(type, request) };
}

/** Relative to the zone: `@`, or without the zone's own name where that was given with its dot. */
function ownName(given: string, zone: string): string {
  const lower = given.toLowerCase();
  if (lower === "" || lower === "@" || lower === `${zone}.`) return "@";
  const name = lower.endsWith(`.${zone}.`) ? lower.slice(0, -zone.length - 2) : lower;
  if (name.endsWith(".")) throw unprocessable("Name is outside of the domain");
  const labels = name.split(".");
  const fits = `${name}.${zone}`.length <= 253;
  if (!fits || !labels.every((label, place) => isLabel(label) || (place === 0 && label === "*"))) {
    throw unprocessable(
      "Name Only valid hostname characters are allowed. (a-z, A-Z, 0-9, . and -)",
    );
  }
  return name;
}

function isLabel(label: string): boolean {
  return /^[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?$/.test(label);
}

function dataOf(type: EditableType, request: RecordRequest, zone: string): string {
  const data = request.data ?? "";
  if (data === "") throw unprocessable("Data can't be blank");
  switch (type) {
    case "A":
      if (!isIPv4(data)) throw unprocessable("Data is not a valid IPv4 address");
      return data;
    case "AAAA":
      if (!isIPv6(data)) throw unprocessable("Data is not a valid IPv6 address");
      return data;
    case "TXT":
      return textData(data);
    case "CAA":
      return caaData(data, request.tag ?? "");
    default:
      return target(data, zone);
  }
}

function textData(data: string): string {
  if (data.length > longestText) {
    throw unprocessable(`Data is too long (maximum is ${longestText} characters)`);
  }
  if (/[\r\n]/.test(data)) throw unprocessable("Data is invalid");
  return data;
}

/** Kept, and shown, without the final dot that has to be sent. */
function caaData(data: string, tag: string): string {
  if (!["issue", "issuewild", "iodef"].includes(tag)) {
    throw unprocessable("Tag must be one of issue, issuewild, or iodef");
  }
  if (tag === "iodef") return data;
  return withoutDot(data);
}

/** A host name, kept without its final dot, the zone itself as `@`. */
function target(data: string, zone: string): string {
  if (data === "@") return data;
  const name = withoutDot(data).toLowerCase();
  if (name.length > 253 || !name.split(".").every(isLabel)) {
    throw unprocessable("Data is not a valid host name");
  }
  return name === zone ? "@" : name;
}

function withoutDot(data: string): string {
  if (!data.endsWith(".")) throw unprocessable("Data needs to end with a dot (.)");
  return data.slice(0, -1);
}

type Numbers = Pick<RecordFields, "priority" | "port" | "weight" | "flags" | "tag">;

function numbersOf(type: EditableType, request: RecordRequest): Numbers {
  const none: Numbers = { priority: null, port: null, weight: null, flags: null, tag: null };
  const number = (field: "priority" | "port" | "weight" | "flags", most: number) => {
    const value = request[field];
    const label = `${field[0]?.toUpperCase()}${field.slice(1)}`;
    if (value === null || value === undefined) throw unprocessable(`${label} can't be blank`);
    if (value < 0 || value > most) throw unprocessable(`${label} must be between 0 and ${most}`);
    return value;
  };
  if (type === "MX") return { ...none, priority: number("priority", 65535) };
  if (type === "CAA") return { ...none, flags: number("flags", 255), tag: request.tag ?? null };
  if (type !== "SRV") return none;
  return {
    ...none,
    priority: number("priority", 65535),
    port: number("port", 65535),
    weight: number("weight", 65535),
  };
}
