import { setTimeout as sleep } from "node:timers/promises";
import { z } from "zod";
import { allDroplets, call, droplet, removeMachine } from "../../sandbox/world/machine.ts";

const named = z.looseObject({ name: z.string() });

export const cloudApi = {
  droplets: allDroplets,
  domains: async () =>
    z.looseObject({ domains: z.array(named) }).parse(await call("GET", "domains?per_page=200")),
  volumes: async () =>
    z.looseObject({ volumes: z.array(named) }).parse(await call("GET", "volumes?per_page=200")),
  firewalls: async () =>
    z.looseObject({ firewalls: z.array(named) }).parse(await call("GET", "firewalls?per_page=200")),
  sshKeys: async () =>
    z
      .looseObject({ ssh_keys: z.array(named) })
      .parse(await call("GET", "account/keys?per_page=200")),
  deleteDroplet: removeMachine,
  /** As by the button: off at once, or on and up. */
  power: async (id: number, to: "off" | "on") => {
    await call("POST", `droplets/${id}/actions`, { type: `power_${to}` });
    const wanted = to === "on" ? "active" : "off";
    for (let tries = 0; tries < 600; tries++) {
      const answer = z.looseObject({ droplet }).parse(await call("GET", `droplets/${id}`));
      if (answer.droplet.status === wanted) return;
      await sleep(100);
    }
    throw new Error(`droplet ${id} did not become ${wanted}`);
  },
};

export { makeMachine, removeMachine } from "../../sandbox/world/machine.ts";
