import type { Operation } from "./event-log.ts";
import { covered } from "./statistics.ts";

/** Seconds by step, in order. Steps follow each other without a gap; "engine alone" lies within them. */
export type Steps = Record<string, number>;

const stackType = "pulumi:pulumi:Stack";
const dropletType = "digitalocean:index/droplet:Droplet";
const roleCommand = "mailfruit:role:Role$command:remote:Command";

/** The steps of the `up` that makes a server. @throws Error where a resource that marks a step is missing. */
export function firstUpSteps(operations: Operation[], seconds: number): Steps {
  const made = operations.filter(({ op }) => op === "create");
  const registered = first(made.filter(({ type }) => type !== stackType)).start;
  const droplet = first(made.filter(({ type }) => type.endsWith(dropletType))).start;
  const ready = named(made, "ready").end;
  const packages = named(made, "packages").end;
  const roles = Math.max(...rolesOf(made).map(({ end }) => end));
  const proven = Math.max(named(made, "prove").end, named(made, "test-user").end);
  return {
    ...between({
      "engine, plugins and program start": registered,
      "keys, domain and volume": droplet,
      "machine (create, boot, SSH ready)": ready,
      packages,
      roles,
      "prove, test user": proven,
      "engine ends": seconds,
    }),
    "engine alone (no resource at work)": seconds - covered(made.filter(isCustom)),
  };
}

/** The steps of an `up` of a server that is there. */
export function laterUpSteps(operations: Operation[], seconds: number): Steps {
  const refreshed = operations.filter(({ op }) => op === "refresh");
  const registered = operations.filter(({ op, type }) => op !== "refresh" && type !== stackType);
  return between({
    "engine and plugins start": first(operations).start,
    refresh: Math.max(...refreshed.map(({ end }) => end)),
    "program starts": first(registered).start,
    resources: Math.max(...registered.map(({ end }) => end)),
    "engine ends": seconds,
  });
}

/** Seconds that each remote command took which did something, by its own name ("postfix", "prove"). */
export function commandTimes(operations: Operation[]): Steps {
  const busy = operations.filter(
    ({ type, op }) => type.endsWith("command:remote:Command") && !["same", "refresh"].includes(op),
  );
  return Object.fromEntries(busy.map(({ name, start, end }) => [shortName(name), end - start]));
}

/** From ends, counted from the start of all, to lengths. */
function between(ends: Record<string, number>): Steps {
  let last = 0;
  const steps: Steps = {};
  for (const [step, end] of Object.entries(ends)) {
    steps[step] = end - last;
    last = end;
  }
  return steps;
}

function first(operations: Operation[]): Operation {
  const [earliest] = operations.toSorted((a, b) => a.start - b.start);
  if (!earliest) throw new Error("pulumi's events lack the resources that mark the steps");
  return earliest;
}

function named(operations: Operation[], name: string): Operation {
  return first(operations.filter((one) => shortName(one.name) === name));
}

function rolesOf(operations: Operation[]): Operation[] {
  return operations.filter(({ type }) => type.endsWith(roleCommand));
}

/** "mail-host-postfix" -> "postfix" */
const shortName = (name: string) => name.replace(/^.*-host-/, "");

/** Components take no time of their own: they have no colon-separated path of a provider's module. */
const isCustom = ({ type }: Operation) => !/(?:^|\$)(?:mailfruit|pulumi):[^$]*$/.test(type);
