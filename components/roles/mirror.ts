import { readRoleFolder } from "../role.ts";

export const folder = readRoleFolder("mirror");

/** Debian's own onion services: https://onion.debian.org */
const onionMirrors = {
  debian: "tor+http://2s4yqjx5ul6okpp3f2gaunr2syex5jgbfpfvhxxbbjwnrsvbk5v3qbid.onion/debian",
  security:
    "tor+http://5ajw6aqf3ep7sijnscdzw77t7xq4xjpsy335yb2wiwgouo7yfxtjlmid.onion/debian-security",
};

/** The archives; `tor+` makes apt fail where nothing of Tor is configured (apt-transport-tor(1)). */
export function variables(mirror: string) {
  if (mirror === "onion") return onionMirrors;
  return { debian: `tor+${mirror}/debian`, security: `tor+${mirror}/debian-security` };
}
