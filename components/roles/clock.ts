import { readRoleFolder } from "../role.ts";

export const folder = readRoleFolder("clock");
