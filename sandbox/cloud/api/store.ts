import { randomUUID } from "node:crypto";
import { readFile } from "node:fs/promises";
import { ifExists, writeFileAtomic } from "../../files.ts";
import { Coalescer } from "./coalescer.ts";
import { type State, stateSchema } from "./state.ts";

/**
 * The account's objects in memory, kept in one JSON file (mode 0600: user_data holds keys).
 * Whoever changes `state` calls `save()`, which resolves when the change is on disk.
 */
export class Store {
  readonly state: State;
  readonly #writer: Coalescer;

  private constructor(file: string, state: State) {
    this.state = state;
    this.#writer = new Coalescer(() =>
      writeFileAtomic(file, JSON.stringify(state, null, 1), 0o600),
    );
  }

  /** Reads `file`, or begins an empty account where there is none; an unreadable file is an error. */
  static async open(file: string): Promise<Store> {
    const store = new Store(file, (await read(file)) ?? emptyState());
    interruptedWork(store.state);
    return store;
  }

  /** A number that no other object of the account has. */
  newId(): number {
    return this.state.nextId++;
  }

  save(): Promise<void> {
    return this.#writer.run();
  }
}

async function read(file: string): Promise<State | null> {
  const text = await ifExists(readFile(file, "utf8"));
  if (text === undefined) return null;
  try {
    return stateSchema.parse(JSON.parse(text));
  } catch (cause) {
    throw new Error(
      `${file} can't be read as the sandbox's state; move it away (and with it the sandbox's machines) and start again`,
      { cause },
    );
  }
}

function emptyState(): State {
  return {
    version: 1,
    nextId: 500_000_001,
    accountUuid: randomUUID(),
    projectId: randomUUID(),
    createdAt: new Date().toISOString(),
    vpcs: {},
    reverseSerial: 1,
    sshKeys: [],
    droplets: [],
    actions: [],
    domains: [],
    firewalls: [],
    volumes: [],
    reservedIps: [],
    tags: [],
  };
}

/** What the last process was in the middle of is over: nobody goes on with it. */
function interruptedWork(state: State): void {
  const failure = "the cloud was stopped in the middle of it";
  for (const action of state.actions) {
    if (action.status !== "in-progress") continue;
    action.status = "errored";
    action.completedAt = new Date().toISOString();
    action.failure = failure;
  }
  for (const droplet of state.droplets) {
    if (droplet.status === "new") {
      droplet.status = "off";
      droplet.failure = failure;
    }
    droplet.locked = false;
  }
  for (const reserved of state.reservedIps) reserved.locked = false;
}
