import { readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { ifExists, writeFileAtomic } from "./files.ts";
import { sandboxDir } from "./paths.ts";
import { mustRun, run } from "./process.ts";

/** What the sandbox needs of Debian, with what for. */
const needed = {
  mmdebstrap: "makes the guests' image",
  "debian-archive-keyring": "the keys that the image's packages are signed with",
  "systemd-container": "systemd-nspawn boots the guests",
  iproute2: "the guests' network",
  nftables: "the droplets' firewalls",
  e2fsprogs: "the file systems of volumes",
  mount: "their block devices",
  "python3-yaml": "the tests run the server's programs here",
  "python3-nacl": "likewise",
  "python3-argcomplete": "likewise",
  shellcheck: "npm run lint",
} as const;

const record = join(sandboxDir, "host-packages.json");
const policyFile = "/usr/sbin/policy-rc.d";
const policyText = `#!/bin/sh
# mailfruit: packages that its sandbox installs start no daemon. Gone when the installation has ended.
exit 101
`;

/** The needed packages that are not installed. */
export async function missingPackages(): Promise<string[]> {
  const format = `\${db:Status-Status} \${Package}\n`;
  const result = await run("dpkg-query", [
    "--show",
    `--showformat=${format}`,
    ...Object.keys(needed),
  ]);
  const installed = new Set(
    result.stdout
      .split("\n")
      .filter((line) => line.startsWith("installed "))
      .map((line) => line.slice("installed ".length)),
  );
  return Object.keys(needed).filter((name) => !installed.has(name));
}

/** Installs what is missing with apt-get, starting no daemon; `report` gets its progress. */
export async function ensureHostPackages(report: (line: string) => void): Promise<void> {
  const missing = await missingPackages();
  if (missing.length === 0) return;
  report(`Installing ${missing.join(", ")}`);
  await finishInterrupted();
  const planned = await plan(missing, report);
  await recordPackages(planned);
  await withoutDaemons(() =>
    apt(["install", ...missing], report).catch(async () => {
      // An index of last month names files that the mirror no longer has.
      await apt(["update"], report);
      await apt(["install", ...missing], report);
    }),
  );
}

/** Every package that setup has put on this machine, dependencies too. */
export async function installedByUs(): Promise<string[]> {
  const text = await ifExists(readFile(record, "utf8"));
  return text === undefined ? [] : z.array(z.string()).parse(JSON.parse(text));
}

/** What would be installed, dependencies included; fetches the package index only where that is needed to say. */
async function plan(packages: string[], report: (line: string) => void): Promise<string[]> {
  const simulation = ["install", "--simulate", ...packages];
  const output = await apt(simulation, () => {}).catch(async () => {
    await apt(["update"], report);
    return apt(simulation, () => {});
  });
  return newPackages(output);
}

/** The packages that `apt-get --simulate` would newly install: "Inst NAME (…)"; with "[OLD]" it is an upgrade. */
export function newPackages(simulation: string): string[] {
  return [...simulation.matchAll(/^Inst (\S+) \(/gm)].map((match) => match[1] ?? "");
}

async function recordPackages(names: string[]): Promise<void> {
  const all = new Set([...(await installedByUs()), ...names]);
  await writeFileAtomic(record, `${JSON.stringify([...all].sort(), null, 2)}\n`);
}

function apt(args: string[], report: (line: string) => void): Promise<string> {
  const options = ["--yes", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=300"];
  const pty = ["-o", "Dpkg::Use-Pty=0"];
  const PATH = `${process.env.PATH ?? ""}:/usr/sbin:/sbin`; // dpkg insists on these
  const env = { ...process.env, PATH, DEBIAN_FRONTEND: "noninteractive", LC_ALL: "C.UTF-8" };
  return mustRun("apt-get", [...options, ...pty, ...args], { env, onLine: report });
}

/** A run that was ended in dpkg's middle leaves packages half configured, and apt-get refuses to go on. */
async function finishInterrupted(): Promise<void> {
  const audit = await run("dpkg", ["--audit"]);
  if (audit.stdout.trim() === "") return;
  await withoutDaemons(() => mustRun("dpkg", ["--configure", "--pending"]).then(() => {}));
}

/** Debian's switch against daemons that start on installation; a policy that is there already is the machine's. */
async function withoutDaemons(work: () => Promise<unknown>): Promise<void> {
  const present = await ifExists(readFile(policyFile, "utf8"));
  if (present === undefined) await writeFileAtomic(policyFile, policyText, 0o755);
  try {
    await work();
  } finally {
    await removePolicy();
  }
}

/** Removes our policy file, also one that a killed run left; never one of the machine's own. */
export async function removePolicy(): Promise<void> {
  const present = await ifExists(readFile(policyFile, "utf8"));
  if (present === policyText) await rm(policyFile, { force: true });
}
