// The way in for every npm script: plain JavaScript for any Node >= 20 on a clean clone. It installs
// what package-lock.json pins, then hands over to sandbox/main.ts on the pinned Node.
import { spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, symlinkSync } from "node:fs";
import { constants } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const bin = join(root, "node_modules", ".bin");
const stamp = join(root, "node_modules", ".mailfruit-stamp");

/** @param {string} sentence @returns {never} */
function fail(sentence) {
  console.error(sentence);
  process.exit(1);
}

const lockHash = () =>
  createHash("sha256")
    .update(readFileSync(join(root, "package-lock.json")))
    .digest("hex");

const installed = () => existsSync(stamp) && readFileSync(stamp, "utf8") === lockHash();

/** Runs `npm ci`, alone: two at once in one checkout would tear node_modules apart. */
function npmCi() {
  const lock = join(root, ".sandbox", "npm.lock");
  mkdirSync(dirname(lock), { recursive: true });
  const busy = 75;
  const options = { cwd: root, stdio: /** @type {const} */ ("inherit") };
  // The stamp is part of it: who waited for the lock finds it and has nothing to do.
  const work = ["sh", "-c", 'npm ci && printf %s "$1" >"$2"', "sh", lockHash(), stamp];
  const flock = ["flock", "--nonblock", "--conflict-exit-code", `${busy}`, lock];
  const [command, ...args] = process.platform === "linux" ? [...flock, ...work] : work;
  const result = spawnSync(command, args, options);
  if (result.status === busy && process.platform === "linux") {
    console.error("Waiting for another npm ci in this checkout.");
    spawnSync("flock", [lock, "true"], options);
    return;
  }
  if (result.error) fail(`npm ci can't be started: ${result.error.message}.`);
  if (result.signal) process.exit(128 + constants.signals[result.signal]);
  if (result.status !== 0)
    fail("npm ci failed (its own words stand above); mend that and run this again.");
}

function install() {
  const npm = spawnSync("npm", ["--version"], { cwd: root, encoding: "utf8" });
  if (npm.error || npm.status !== 0)
    fail("npm is missing: install it (Debian: apt-get install npm).");
  console.error("Installing the pinned Node packages (npm ci).");
  while (!installed()) npmCi();
}

/** The pinned Node; where there is none for the platform, this one if it runs TypeScript by itself. */
function pinnedNode() {
  const pinned = join(bin, "node");
  if (!existsSync(pinned)) linkNode(pinned);
  if (existsSync(pinned)) return pinned;
  if ("typescript" in process.features && process.features.typescript) return process.execPath;
  return fail(
    `No pinned Node exists for ${process.platform} ${process.arch}, and this one (${process.version}) can't run TypeScript: use Node 24 or newer.`,
  );
}

/**
 * npm 9, which Debian 13 has, skips the Node of another architecture and takes the link of the fitting one with it.
 *
 * @param {string} link
 */
function linkNode(link) {
  const node = join("..", `node-${process.platform}-${process.arch}`, "bin", "node");
  if (!existsSync(join(bin, node))) return;
  try {
    symlinkSync(node, link);
  } catch (error) {
    if (!existsSync(link)) throw error; // else another one at this moment has made it
  }
}

function main() {
  if (Number.parseInt(process.versions.node, 10) < 20) {
    fail(`Node ${process.version} is too old: mailfruit needs Node 20 or newer to start.`);
  }
  if (!installed()) install();
  const child = spawn(pinnedNode(), [join(root, "sandbox", "main.ts"), ...process.argv.slice(2)], {
    stdio: "inherit",
    env: {
      ...process.env,
      PATH: [bin, process.env.PATH].join(delimiter),
      NODE_COMPILE_CACHE: join(root, ".sandbox", "compile-cache"),
    },
  });
  for (const signal of /** @type {const} */ (["SIGINT", "SIGTERM", "SIGHUP"])) {
    process.on(signal, () => child.kill(signal));
  }
  child.on("error", (error) => fail(`The pinned Node can't be started: ${error.message}.`));
  child.on("exit", (code, signal) => {
    // Progress hides the cursor, and who is ended by a signal doesn't bring it back.
    if (signal && process.stderr.isTTY) process.stderr.write("\x1b[?25h");
    process.exitCode = signal ? 128 + constants.signals[signal] : (code ?? 1);
  });
}

main();
