import { Hono } from "hono";
import { regionOf } from "./catalogue.ts";
import type { Cloud } from "./cloud.ts";
import { notFound, reason } from "./errors.ts";
import type { Log } from "./log.ts";
import { listed } from "./paging.ts";
import type { Action } from "./state.ts";
import type { Store } from "./store.ts";

/** Finished actions beyond this number are forgotten, oldest first. */
const kept = 2000;

type Begun = Pick<Action, "type" | "subject" | "resourceType" | "resourceId" | "region">;

/** Long work that the API answers for at once and whose end a client polls for. */
export class Actions {
  readonly #store: Store;
  readonly #log: Log;
  readonly #running = new Set<Promise<void>>();

  constructor(store: Store, log: Log) {
    this.#store = store;
    this.#log = log;
  }

  /** Begins `work`; its failure makes the action `errored` and is logged with its reason. */
  begin(about: Begun, work: () => Promise<void>): Action {
    const action: Action = {
      ...about,
      id: this.#store.newId(),
      status: "in-progress",
      startedAt: new Date().toISOString(),
      completedAt: null,
      failure: null,
    };
    this.#store.state.actions.push(action);
    this.#forgetOld();
    const running = this.#run(action, work).finally(() => this.#running.delete(running));
    this.#running.add(running);
    return action;
  }

  /** Resolves when nothing is under way. */
  async settled(): Promise<void> {
    while (this.#running.size > 0) await Promise.all(this.#running);
  }

  async #run(action: Action, work: () => Promise<void>): Promise<void> {
    try {
      await work();
      action.status = "completed";
    } catch (error) {
      action.status = "errored";
      action.failure = reason(error);
      this.#log(`${action.type} of ${action.subject} failed: ${action.failure}`);
    }
    action.completedAt = new Date().toISOString();
    await this.#store
      .save()
      .catch((error: unknown) => this.#log(`the state can't be saved: ${reason(error)}`));
  }

  #forgetOld(): void {
    const all = this.#store.state.actions;
    while (all.length > kept && all[0]?.status !== "in-progress") all.shift();
  }
}

export function actionJson(action: Action) {
  return {
    id: action.id,
    status: action.status,
    type: action.type,
    started_at: action.startedAt,
    completed_at: action.completedAt,
    resource_id: action.resourceId,
    resource_type: action.resourceType,
    region: regionOf(action.region),
    region_slug: action.region,
  };
}

/** Newest first, as DigitalOcean lists them. */
export function actionsOf(cloud: Cloud, subject: string): Action[] {
  return cloud.state.actions.filter((action) => action.subject === subject).reverse();
}

export function actionOf(cloud: Cloud, subject: string, id: string): Action {
  const action = actionsOf(cloud, subject).find((one) => String(one.id) === id);
  if (!action) throw notFound();
  return action;
}

export function actionRoutes(cloud: Cloud): Hono {
  const routes = new Hono();
  routes.get("/actions", (c) =>
    c.json(listed(c, "actions", [...cloud.state.actions].reverse(), actionJson)),
  );
  routes.get("/actions/:id", (c) => {
    const action = cloud.state.actions.find((one) => String(one.id) === c.req.param("id"));
    if (!action) throw notFound();
    return c.json({ action: actionJson(action) });
  });
  return routes;
}
