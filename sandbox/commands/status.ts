import { endpoint } from "../cloud/client.ts";
import { type Engine, engine } from "../engine/cli.ts";
import { type Plugin, plugins } from "../engine/plugins.ts";
import { type Guest, listGuests } from "../guests.ts";
import { sandboxDir } from "../paths.ts";
import { run } from "../process.ts";
import { whyNoSandbox } from "../requirements.ts";
import { stackNames } from "../stack.ts";

const origins: Record<Plugin["origin"], string> = {
  linked: "the official one of your plugin cache",
  installed: "the official one",
  "stand-in": "the sandbox's stand-in",
  missing: "not there yet",
};

const kinds: Record<Engine["kind"], string> = {
  official: "the official one",
  built: "built here",
};

/** What is in use and what runs where. */
export async function status(): Promise<void> {
  const why = await whyNoSandbox();
  if (why) console.log(`${why}\n`);
  const cloud = await endpoint();
  const sections: [string, string[]][] = [
    [
      "Cloud",
      [cloud ? `${cloud.url}, process ${cloud.pid}; name server ${cloud.resolverAddress}` : "off"],
    ],
    ["Guests", (await listGuests()).map(describeGuest)],
    ["Stacks", await stackNames()],
    ["Engine", [await describeEngine()]],
    [
      "Plugins",
      (await plugins()).map((one) => `${one.name} ${one.version}: ${origins[one.origin]}`),
    ],
    ["On disk", [await diskUse()]],
  ];
  for (const [title, lines] of sections) {
    const shown = lines.length > 0 ? lines : ["none"];
    console.log(shown.map((line, at) => `${(at === 0 ? title : "").padEnd(9)}${line}`).join("\n"));
  }
}

function describeGuest({ name, on, droplet, addresses }: Guest): string {
  const role = droplet ? "" : ", the sandbox's own";
  return `${name} (${on ? "on" : "off"}${role}): ${addresses.join(", ")}`;
}

async function describeEngine(): Promise<string> {
  try {
    const { kind, pulumi } = await engine();
    return `${kinds[kind]}, ${pulumi}`;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

async function diskUse(): Promise<string> {
  const result = await run("du", [
    "--summarize",
    "--human-readable",
    "--one-file-system",
    sandboxDir,
  ]);
  return `${result.stdout.split("\t")[0] || "0"} in .sandbox`;
}
