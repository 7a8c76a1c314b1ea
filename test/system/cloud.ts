import { setTimeout as sleep } from "node:timers/promises";
import { stringify } from "yaml";
import { z } from "zod";
import { endpoint } from "../../sandbox/cloud/client.ts";

/** The cloud's API as a test sees it, past Pulumi. */
async function call(method: string, path: string, body?: unknown): Promise<unknown> {
  const cloud = await endpoint();
  if (!cloud) throw new Error("the cloud doesn't run");
  const response = await fetch(`${cloud.url}/v2/${path}`, {
    method,
    headers: { authorization: `Bearer ${cloud.token}`, "content-type": "application/json" },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  });
  const text = await response.text();
  if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`);
  return text === "" ? null : JSON.parse(text);
}

const droplet = z.looseObject({
  id: z.number(),
  name: z.string(),
  status: z.string(),
  networks: z.looseObject({
    v4: z.array(z.looseObject({ ip_address: z.string(), type: z.string() })),
    v6: z.array(z.looseObject({ ip_address: z.string(), type: z.string() })),
  }),
});
const named = z.looseObject({ name: z.string() });

export const cloudApi = {
  droplets: async () =>
    z.looseObject({ droplets: z.array(droplet) }).parse(await call("GET", "droplets?per_page=200")),
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
  deleteDroplet: (id: number) => call("DELETE", `droplets/${id}`),
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

/** A machine that Pulumi knows nothing of, with this cloud-config. */
export async function makeMachine(name: string, cloudConfig: Record<string, unknown>) {
  const request = {
    name,
    region: "fra1",
    size: "s-1vcpu-2gb",
    image: "debian-13-x64",
    ipv6: true,
    user_data: `#cloud-config\n${stringify(cloudConfig)}`,
  };
  const created = z.looseObject({ droplet }).parse(await call("POST", "droplets", request));
  for (let seconds = 0; seconds < 120; seconds++) {
    const answer = await call("GET", `droplets/${created.droplet.id}`);
    const { id, status, networks } = z.looseObject({ droplet }).parse(answer).droplet;
    const ipv4 = networks.v4.find(({ type }) => type === "public")?.ip_address;
    const ipv6 = networks.v6[0]?.ip_address;
    if (status === "active" && ipv4 && ipv6) return { id, ipv4, ipv6 };
    await sleep(1000);
  }
  throw new Error(`${name} did not become active`);
}

export async function removeMachine(id: number): Promise<void> {
  await cloudApi.deleteDroplet(id);
}
