import { join } from "node:path";

/** The root of the checkout. */
export const root = join(import.meta.dirname, "..");

/** Everything that the sandbox makes lies under this ignored folder; `sandbox down --all` removes it. */
export const sandboxDir = join(root, ".sandbox");

export const paths = {
  /** The image that every guest starts from, and the .debs that the mirror relay keeps. */
  image: join(sandboxDir, "image"),
  debs: join(sandboxDir, "debs"),
  /** State of the cloud: API objects, guests, volumes, DNS, process id, log, token. */
  cloud: join(sandboxDir, "cloud"),
  cloudLog: join(sandboxDir, "cloud", "cloud.log"),
  /** Built engine: `pulumi` and `pulumi-language-nodejs`, first on the PATH of every pulumi run. */
  engine: join(sandboxDir, "engine"),
  /** PULUMI_HOME of the sandbox; the user's own is never touched. */
  pulumiHome: join(sandboxDir, "pulumi-home"),
  /** The file backend, the passphrase file, and each stack's configuration file. */
  stacks: join(sandboxDir, "stacks"),
} as const;
