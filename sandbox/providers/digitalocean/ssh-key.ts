import type { BridgedResource, Properties } from "../kit.ts";
import { notEmpty, step, text } from "./rules.ts";
import type { Connect } from "./settings.ts";
import type { SshKey } from "./shapes.ts";

const settleSeconds = 120;

const outputsOf = (key: SshKey): Properties => ({
  name: key.name,
  publicKey: key.public_key,
  fingerprint: key.fingerprint,
});

export function sshKey(connect: Connect): BridgedResource {
  return {
    attributes: {
      name: { validate: notEmpty },
      publicKey: {
        forceNew: true,
        validate: notEmpty,
        same: (state, input) => text(state).trim() === text(input).trim(),
      },
    },
    computed: ["fingerprint"],
    defaultsAreInputs: true,
    autoName: { maxLength: 255 },
    create: async ({ inputs, signal }) => {
      const api = await connect(signal);
      const body = { name: inputs.name, public_key: inputs.publicKey };
      const key = await step("Error creating SSH Key", () => api.sshKeys.create(body));
      return { id: String(key.id), outputs: outputsOf(key) };
    },
    settle: async ({ id, signal, timeoutSeconds }) => {
      const api = await connect(signal);
      const seconds = timeoutSeconds ?? settleSeconds;
      return outputsOf(
        await step("Error retrieving SSH Key", () => api.poll(seconds, () => api.sshKeys.get(id))),
      );
    },
    read: async ({ id, signal }) => {
      const api = await connect(signal);
      const key = await step("Error retrieving SSH key", () => api.sshKeys.get(id));
      return key === null ? null : outputsOf(key);
    },
    update: async ({ id, news, signal }) => {
      const api = await connect(signal);
      await step("Failed to update SSH key", () => api.sshKeys.replace(id, { name: news.name }));
      const key = await api.sshKeys.get(id);
      if (key === null) throw new Error(`SSH key ${id} is gone`);
      return outputsOf(key);
    },
    delete: async ({ id, signal }) => {
      const api = await connect(signal);
      await step("Error deleting SSH key", () => api.sshKeys.delete(id));
    },
  };
}
