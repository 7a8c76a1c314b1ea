import * as pulumi from "@pulumi/pulumi";
import type { RegisterResourceRequest } from "@pulumi/pulumi/proto/resource_pb.js";
import { z } from "zod";

/** A resource as the program asked for it. */
export interface Requested {
  type: string;
  name: string;
  urn: string;
  custom: boolean;
  /** Inputs; a secret one is as {@link isSecret} knows it. Unknown ones are left out, as in a first preview. */
  inputs: Record<string, unknown>;
  dependencies: string[];
  parent: string;
  deletedWith: string;
  deleteBeforeReplace: boolean;
  ignoreChanges: string[];
}

/** Stands for private keys, in all of their formats: no test may find it where no secret is. */
export const canary = "PRIVATE-CANARY";

/** What the providers answer, of what the program reads. */
function answer(type: string, name: string, inputs: Record<string, unknown>) {
  const key = `${canary} of ${name}\n`;
  switch (type) {
    case "tls:index/privateKey:PrivateKey":
      return {
        privateKeyPem: pulumi.secret(key),
        publicKeyPem: "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
        privateKeyOpenssh: pulumi.secret(key),
        publicKeyOpenssh: `ssh-ed25519 AAAA+${name}\n`,
      };
    case "tls:index/selfSignedCert:SelfSignedCert":
    case "tls:index/locallySignedCert:LocallySignedCert":
      return { certPem: `certificate ${name}\n` };
    case "tls:index/certRequest:CertRequest":
      return { certRequestPem: `request ${name}\n` };
    case "digitalocean:index/droplet:Droplet":
      return { ipv4Address: "192.0.2.10", ipv6Address: "2001:db8::10" };
    case "digitalocean:index/volume:Volume":
      return { name: `${name}-1a2b3c` };
    case "digitalocean:index/sshKey:SshKey":
      return { fingerprint: "aa:bb" };
    default:
      return inputs;
  }
}

/** The part of the SDK's monitor that tests look at. */
interface Monitor {
  registerResource(
    request: RegisterResourceRequest,
    callback: (error: unknown, response?: { getUrn(): string }) => void,
  ): unknown;
}

/**
 * Runs a program on Pulumi's mocks until everything that it asks for is there. In a preview, all that providers
 * make up is unknown, as before a first `up`.
 */
export async function requestedBy<Result>(
  program: () => Result | Promise<Result>,
  options: { preview?: boolean } = {},
): Promise<{ result: Result; resources: Requested[] }> {
  const resources: Requested[] = [];
  const inputsOf = new Map<string, Record<string, unknown>>();
  const newResource = ({ type, name, inputs }: pulumi.runtime.MockResourceArgs) => {
    inputsOf.set(`${type} ${name}`, inputs);
    if (options.preview) return { id: undefined, state: {} };
    return {
      id: /Droplet$/.test(type) ? "4711" : `${name}-id`,
      state: { ...inputs, ...answer(type, name, inputs) },
    };
  };
  await pulumi.runtime.setMocks(
    { newResource, call: () => ({}) },
    "mailfruit",
    "test",
    options.preview,
  );
  // The SDK hides its mock monitor's type; this is the one that setMocks has just made.
  const monitor = pulumi.runtime.getMonitor() as unknown as Monitor & { close?: () => void };
  monitor.close = () => {};
  const register = monitor.registerResource.bind(monitor);
  monitor.registerResource = (request, callback) =>
    register(request, (error, response) => {
      const type = request.getType();
      const name = request.getName();
      if (response)
        resources.push({
          type,
          name,
          urn: response.getUrn(),
          custom: request.getCustom(),
          inputs: inputsOf.get(`${type} ${name}`) ?? {},
          dependencies: request.getDependenciesList(),
          parent: request.getParent(),
          deletedWith: request.getDeletedwith(),
          deleteBeforeReplace: request.getDeletebeforereplace(),
          ignoreChanges: request.getIgnorechangesList(),
        });
      callback(error, response);
    });
  const result = await program();
  await pulumi.runtime.disconnect();
  return { result, resources };
}

const secret = z.looseObject({
  // The SDK's mark of a secret, runtime/rpc.ts.
  "4dabf18193072939515e22adb298388d": z.literal("1b47061264138c4ac30d75fd1eb44270"),
  value: z.unknown(),
});

export const isSecret = (value: unknown): boolean => secret.safeParse(value).success;

/** The value, whether it is secret or not. */
export function plain(value: unknown): unknown {
  const marked = secret.safeParse(value);
  return marked.success ? marked.data.value : value;
}

/** All texts in a value that are not in a secret. */
export function openTexts(value: unknown): string[] {
  if (typeof value === "string") return [value];
  if (value === null || typeof value !== "object" || isSecret(value)) return [];
  return Object.values(value).flatMap(openTexts);
}

/** What an output, or a value that is none, comes to. */
export const resolved = (value: unknown): Promise<unknown> =>
  pulumi.Output.isInstance<unknown>(value)
    ? new Promise((resolve) => value.apply(resolve))
    : Promise.resolve(value);
