import { z } from "zod";
import { dropletLimit, findKey } from "./account.ts";
import { list, maybeText, maybeTrue } from "./body.ts";
import {
  defaultRegion,
  findImage,
  findSize,
  type Image,
  isRegion,
  type Size,
} from "./catalogue.ts";
import type { Cloud } from "./cloud.ts";
import { notFound, unprocessable } from "./errors.ts";
import type { Volume } from "./state.ts";
import { defaultVpc } from "./vpcs.ts";

const volumeReference = z.union([
  z.string().transform((id) => ({ id })),
  z.object({ id: z.string() }),
]);

export const dropletRequest = z.object({
  name: z.string().nullish(),
  names: z.array(z.string()).nullish(),
  region: maybeText,
  size: maybeText,
  image: z
    .union([z.string(), z.number()])
    .nullish()
    .transform((image) => image ?? ""),
  ssh_keys: list(z.union([z.string(), z.number()])),
  backups: maybeTrue,
  ipv6: maybeTrue,
  monitoring: maybeTrue,
  public_networking: z.boolean().nullish(),
  tags: list(z.string()),
  user_data: maybeText,
  volumes: list(volumeReference),
  vpc_uuid: maybeText,
});

/** A request to create droplets whose every part is known to exist. */
export interface DropletPlan {
  names: string[];
  region: string;
  size: Size;
  image: Image;
  sshKeys: string[];
  volumes: Volume[];
  vpcUuid: string;
}

const longestUserData = 64 * 1024;

/** Throws DigitalOcean's 422 for the first thing that is wrong. */
export function planDroplets(cloud: Cloud, request: z.infer<typeof dropletRequest>): DropletPlan {
  const names = request.names ?? [request.name ?? ""];
  for (const name of names) checkName(name);
  if (cloud.state.droplets.length + names.length > dropletLimit) {
    throw unprocessable("creating this/these droplet(s) will exceed your droplet limit");
  }
  const region = (request.region || defaultRegion).toLowerCase();
  if (!isRegion(region)) {
    throw unprocessable("You specified an invalid region for Droplet creation.");
  }
  const size = findSize(request.size);
  if (!size) throw unprocessable("You specified an invalid size for Droplet creation.");
  const image = findImage(request.image);
  if (!image) throw unprocessable("You specified an invalid image for Droplet creation.");
  if (request.public_networking === false) {
    throw unprocessable("The sandbox has no droplets without public networking.");
  }
  checkUserData(request.user_data);
  return {
    names,
    region,
    size,
    image,
    sshKeys: keys(cloud, request.ssh_keys),
    volumes: volumes(cloud, request.volumes, region, names.length),
    vpcUuid: vpc(cloud, request.vpc_uuid, region),
  };
}

export function checkName(name: string): void {
  if (name === "") throw unprocessable("Name can't be blank");
  if (name.length > 255 || !/^[a-zA-Z0-9]([a-zA-Z0-9.-]*[a-zA-Z0-9])?$/.test(name)) {
    throw unprocessable(
      "Name Only valid hostname characters are allowed. (a-z, A-Z, 0-9, . and -)",
    );
  }
}

function checkUserData(userData: string): void {
  if (Buffer.byteLength(userData) > longestUserData) {
    throw unprocessable("User data is too long (maximum is 64 KiB)");
  }
}

function keys(cloud: Cloud, wanted: (string | number)[]): string[] {
  const found = wanted.map((key) => ({ key, publicKey: findKey(cloud, key)?.publicKey }));
  const unknown = found.filter(({ publicKey }) => publicKey === undefined).map(({ key }) => key);
  if (unknown.length > 0) {
    throw unprocessable(`${unknown.join(", ")} are invalid key identifiers for Droplet creation.`);
  }
  return found.flatMap(({ publicKey }) => publicKey ?? []);
}

function volumes(
  cloud: Cloud,
  wanted: { id: string }[],
  region: string,
  droplets: number,
): Volume[] {
  if (wanted.length > 0 && droplets > 1) {
    throw unprocessable("Volumes can't be attached to more than one Droplet.");
  }
  return wanted.map(({ id }) => {
    const volume = cloud.state.volumes.find((one) => one.id === id);
    if (!volume) throw notFound(`Volume ${id} not found.`);
    if (volume.region !== region) {
      throw unprocessable("Volume and Droplet must be in the same region.");
    }
    if (volume.dropletId !== null) throw unprocessable("This volume is already attached");
    return volume;
  });
}

function vpc(cloud: Cloud, uuid: string, region: string): string {
  const own = defaultVpc(cloud, region);
  if (uuid === "" || uuid === own) return own;
  throw unprocessable(`VPC ${uuid} does not exist in region ${region}.`);
}
