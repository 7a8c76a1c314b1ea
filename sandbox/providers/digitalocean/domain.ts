import type { BridgedResource, Properties } from "../kit.ts";
import { notEmpty, only, step } from "./rules.ts";
import type { Connect } from "./settings.ts";
import type { Domain } from "./shapes.ts";

/** The API never tells the address that a domain was made with. */
const outputsOf = (domain: Domain, known: Properties): Properties => ({
  ...only(known, ["ipAddress"]),
  name: domain.name,
  domainUrn: `do:domain:${domain.name}`,
  ttl: domain.ttl,
});

export function domain(connect: Connect): BridgedResource {
  return {
    attributes: {
      name: { forceNew: true, validate: notEmpty },
      ipAddress: { forceNew: true, validate: notEmpty },
    },
    computed: ["domainUrn", "ttl"],
    defaultsAreInputs: true,
    create: async ({ inputs, signal }) => {
      const api = await connect(signal);
      const body = { name: inputs.name, ip_address: inputs.ipAddress ?? undefined };
      const made = await step("Error creating Domain", () => api.domains.create(body));
      return { id: made.name, outputs: outputsOf(made, inputs) };
    },
    // The answer to the request has no TTL yet.
    settle: async ({ id, inputs, signal }) => {
      const api = await connect(signal);
      const found = await step("Error retrieving domain", () => api.domains.get(id));
      if (found === null) throw new Error(`domain ${id} is gone`);
      return outputsOf(found, inputs);
    },
    read: async ({ id, state, signal }) => {
      const api = await connect(signal);
      const found = await step("Error retrieving domain", () => api.domains.get(id));
      return found === null ? null : outputsOf(found, state);
    },
    delete: async ({ id, signal }) => {
      const api = await connect(signal);
      await step("Error deleting Domain", () => api.domains.delete(id));
    },
  };
}
