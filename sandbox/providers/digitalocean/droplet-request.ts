import type { Properties, Value } from "../kit.ts";
import { isObject } from "../kit.ts";
import { number, text, texts } from "./rules.ts";

const policyError = "backup_policy can only be set when backups are enabled";

/** Ids are numbers, slugs and fingerprints text. */
const idOrName = (value: string): number | string => (/^\d+$/.test(value) ? Number(value) : value);

const orOmitted = <T>(value: T): T | undefined => value || undefined;

/** The body of POST /v2/droplets, with what the Go client leaves out left out. */
export function createRequest(inputs: Properties) {
  const volumes = texts(inputs.volumeIds).filter((id) => id !== "");
  return {
    name: inputs.name,
    region: text(inputs.region),
    size: inputs.size,
    image: idOrName(text(inputs.image)),
    ssh_keys: texts(inputs.sshKeys).map(idOrName),
    backups: inputs.backups === true,
    ipv6: inputs.ipv6 === true,
    private_networking: inputs.privateNetworking === true,
    monitoring: inputs.monitoring === true,
    user_data: orOmitted(text(inputs.userData)),
    volumes: volumes.length === 0 ? undefined : volumes.map((id) => ({ id })),
    tags: texts(inputs.tags),
    vpc_uuid: orOmitted(text(inputs.vpcUuid)),
    with_droplet_agent: typeof inputs.dropletAgent === "boolean" ? inputs.dropletAgent : undefined,
    backup_policy: backupPolicy(inputs),
    public_networking: inputs.publicNetworking === false ? false : undefined,
    gpu_partition_mode: orOmitted(text(inputs.gpuPartitionMode)),
  };
}

/** `undefined` if there is none. @throws Error where backups are off. */
export function backupPolicy(inputs: Properties) {
  const policy: Value | undefined = inputs.backupPolicy;
  if (policy === undefined || !isObject(policy)) return undefined;
  if (inputs.backups !== true) throw new Error(policyError);
  return { plan: text(policy.plan), weekday: text(policy.weekday), hour: number(policy.hour) };
}
