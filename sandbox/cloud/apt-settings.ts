import { readFile } from "node:fs/promises";
import { ifExists } from "../files.ts";
import { command } from "./command.ts";

/** Where this machine's own apt gets Debian from, so that guests get it from there too. */
export interface AptSettings {
  /** Base addresses without the final slash: of the archive and of its security updates. */
  debian: string;
  security: string;
  /** Environment variables in the manner of curl, as apt's configuration and the environment set them. */
  proxy: { http_proxy?: string; https_proxy?: string; no_proxy?: string };
}

/** Asks apt; what it doesn't know is Debian's own. Works on any Debian, whatever its release. */
export async function aptSettings(): Promise<AptSettings> {
  const format = "$(LABEL)|$(REPO_URI)";
  const targets = await command("apt-get", ["indextargets", "--format", format]);
  const { debian, security } = chooseMirrors(targets.split("\n"), mirrorList);
  return {
    debian: (await debian) ?? "http://deb.debian.org/debian",
    security: (await security) ?? "http://deb.debian.org/debian-security",
    proxy: chooseProxy(await command("apt-config", ["dump"]), process.env),
  };
}

/** The first of each kind: by its label, which apt knows after an update, or by the end of its address. */
export function chooseMirrors<T>(
  lines: string[],
  resolve: (uri: string) => T,
): { debian: T | undefined; security: T | undefined } {
  const targets = lines.map((line) => line.trim().split("|"));
  const find = (wanted: string, tail: RegExp) => {
    const hit =
      targets.find(([label]) => label === wanted) ??
      targets.find(([label, uri]) => label === "" && tail.test(uri ?? ""));
    return hit?.[1] ? resolve(hit[1]) : undefined;
  };
  return {
    debian: find("Debian", /\/debian\/?$/),
    security: find("Debian-Security", /\/debian-security\/?$/),
  };
}

/** apt's configuration goes before the environment, as it does for apt. */
export function chooseProxy(dump: string, environment: NodeJS.ProcessEnv): AptSettings["proxy"] {
  const setting = (name: string) =>
    dump.match(new RegExp(`^Acquire::${name}::Proxy "([^"]+)";$`, "im"))?.[1];
  const direct = [...dump.matchAll(/^Acquire::https?::Proxy::(\S+) "DIRECT";$/gim)];
  const http = setting("http") ?? environment.http_proxy;
  const https = setting("https") ?? setting("http") ?? environment.https_proxy;
  const none = [environment.no_proxy, ...direct.map((match) => match[1])].filter(Boolean);
  return {
    ...(http && http !== "DIRECT" && { http_proxy: http }),
    ...(https && https !== "DIRECT" && { https_proxy: https }),
    ...(none.length > 0 && { no_proxy: none.join(",") }),
  };
}

/** A source may name a list of mirrors (`mirror+file:/etc/apt/mirrors/debian.list`): its first line counts. */
async function mirrorList(uri: string): Promise<string | undefined> {
  const file = uri.match(/^mirror\+file:(?:\/\/)?(\/.*?)\/?$/)?.[1];
  const text = file ? await ifExists(readFile(file, "utf8")) : uri;
  const address = text?.split(/\s/).find((word) => /^https?:\/\//.test(word));
  return address?.replace(/\/+$/, "");
}
