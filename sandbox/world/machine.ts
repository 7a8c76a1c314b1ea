import { setTimeout as sleep } from "node:timers/promises";
import { stringify } from "yaml";
import { z } from "zod";
import { endpoint } from "../cloud/client.ts";

/** The cloud's API as a program of ours sees it, past Pulumi. */
export async function call(method: string, path: string, body?: unknown): Promise<unknown> {
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

export const droplet = z.looseObject({
  id: z.number(),
  name: z.string(),
  status: z.string(),
  networks: z.looseObject({
    v4: z.array(z.looseObject({ ip_address: z.string(), type: z.string() })),
    v6: z.array(z.looseObject({ ip_address: z.string(), type: z.string() })),
  }),
});

export interface SandboxMachine {
  id: number;
  ipv4: string;
  ipv6: string;
}

/** A machine that Pulumi knows nothing of, with this cloud-config. */
export async function makeMachine(
  name: string,
  cloudConfig: Record<string, unknown>,
): Promise<SandboxMachine> {
  const request = {
    name,
    region: "fra1",
    size: "s-1vcpu-2gb",
    image: "debian-13-x64",
    ipv6: true,
    user_data: `#cloud-config\n${stringify(cloudConfig)}`,
  };
  const created = z.looseObject({ droplet }).parse(await call("POST", "droplets", request));
  for (let tries = 0; tries < 600; tries++) {
    const answer = await call("GET", `droplets/${created.droplet.id}`);
    const machine = machineIn(z.looseObject({ droplet }).parse(answer).droplet);
    if (machine) return machine;
    await sleep(200);
  }
  throw new Error(`${name} did not become active`);
}

/** All droplets that there are, Pulumi's too. */
export const allDroplets = async () =>
  z.looseObject({ droplets: z.array(droplet) }).parse(await call("GET", "droplets?per_page=200"));

/** A machine of this name that is on; undefined where there is none. */
export async function findMachine(name: string): Promise<SandboxMachine | undefined> {
  const found = (await allDroplets()).droplets.find((one) => one.name === name);
  return found && machineIn(found);
}

function machineIn({ id, status, networks }: z.output<typeof droplet>): SandboxMachine | undefined {
  const ipv4 = networks.v4.find(({ type }) => type === "public")?.ip_address;
  const ipv6 = networks.v6[0]?.ip_address;
  return status === "active" && ipv4 && ipv6 ? { id, ipv4, ipv6 } : undefined;
}

export async function removeMachine(id: number): Promise<void> {
  await call("DELETE", `droplets/${id}`);
}
