import { z } from "zod";
import { inGuest } from "../../sandbox/cloud/shell.ts";
import { findMachine, makeMachine, type SandboxMachine } from "../../sandbox/world/machine.ts";
import type { Seen } from "./dialogues.ts";

/** A guest with Debian's own scanners, which meets servers as the world does. */
export class Scanner {
  readonly #machine: SandboxMachine;

  private constructor(machine: SandboxMachine) {
    this.#machine = machine;
  }

  static async start(): Promise<Scanner> {
    const scanner = new Scanner(
      (await findMachine("scanner")) ?? (await makeMachine("scanner", {})),
    );
    await scanner.#run(
      "command -v nmap testssl ssh-audit >/dev/null || { export DEBIAN_FRONTEND=noninteractive; " +
        "apt-get -q -y update && apt-get -q -y --no-install-recommends install nmap testssl.sh ssh-audit; } >/dev/null",
    );
    return scanner;
  }

  /** `nmap -A` of all ports: what is open, and what nmap takes it for. */
  async nmap(address: string): Promise<Seen> {
    const xml = await this.#run(`timeout 240 nmap -n -Pn -A -p- -T4 -oX - ${address}`);
    const seen: Seen = {};
    for (const [, port, rest = ""] of xml.matchAll(
      /<port protocol="tcp" portid="(\d+)">(.*?)<\/port>/gs,
    )) {
      const attribute = (name: string) => new RegExp(`\\b${name}="([^"]*)"`).exec(rest)?.[1];
      if (attribute("state") !== "open") continue;
      seen[`nmap ${port}`] = ["product", "version", "extrainfo", "ostype"]
        .map(attribute)
        .filter(Boolean)
        .join(", ");
    }
    return seen;
  }

  /** testssl.sh's findings on a port: protocols, ciphers, forward secrecy, what the server prefers, extensions. */
  async testssl(address: string, port: number): Promise<Seen> {
    const starttls = port === 25 || port === 587 ? "--starttls smtp" : "";
    const json = await this.#run(
      "folder=$(mktemp -d) && cd $folder && { timeout 240 testssl --quiet --color 0 --warnings off --jsonfile found.json " +
        `-p -s -f -P -S ${starttls} ${address}:${port} >/dev/null || true; } && cat found.json && rm -r $folder`,
    );
    const all = z
      .array(z.looseObject({ id: z.string(), finding: z.string() }))
      .parse(JSON.parse(json));
    return Object.fromEntries(
      all
        .filter(({ id }) => !ofItself.test(id))
        .map(({ id, finding }) => [`testssl ${port} ${id}`, finding]),
    );
  }

  /** What ssh-audit finds: algorithms, and a fingerprint of them all. */
  async sshAudit(address: string): Promise<Seen> {
    const said = await this.#run(`timeout 60 ssh-audit --no-colors ${address} || true`);
    const seen: Seen = {};
    for (const [, kind = "", name = ""] of said.matchAll(
      /^\((gen|kex|key|enc|mac)\) (\S+(?: \S+){0,4}?)(?: {2}.*)?$/gm,
    )) {
      if (kind !== "gen") seen[`ssh-audit ${kind} ${name}`] = "offered";
    }
    const banner = /^\(gen\) banner: (.*)$/m.exec(said)?.[1];
    if (banner === undefined) throw new Error(`ssh-audit found no server at ${address}: ${said}`);
    return { ...seen, "ssh-audit banner": banner };
  }

  #run(command: string): Promise<string> {
    return inGuest(this.#machine.id, ["/bin/sh", "-c", command]);
  }
}

/** What each server has for itself: its certificate's number, marks and times; and what differs from run to run. */
const ofItself =
  /serial|fingerprint|notBefore|notAfter|expiration|cert_validity|scanTime|clock|engine|service|^cert(?:$| )|host_certificate|subjectKeyId|authorityKey|sessionresumption/i;
