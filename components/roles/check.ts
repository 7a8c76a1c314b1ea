import type { Settings } from "../../settings.ts";
import { readRoleFolder } from "../role.ts";

export const folder = readRoleFolder("check");

/** The program that proves that a server works, and what it proves. */
export const variables = ({ kind }: Pick<Settings, "kind">) =>
  kind === "gateway"
    ? {
        program: "/usr/local/lib/mailfruit/gateway-check",
        what: "Proves that the hidden server's mail is taken and can be passed on",
      }
    : {
        program: "/usr/local/sbin/mailfruit check",
        what: "Proves that mail goes in and out, and lies encrypted",
      };
