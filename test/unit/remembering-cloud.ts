// A cloud over a hypervisor that only remembers. usage: remembering-cloud.ts FOLDER [--stop-guests]
import { serveCloud } from "../../sandbox/cloud/serve.ts";
import { RememberingHypervisor } from "./remembering-hypervisor.ts";

const dir = process.argv[2] ?? "";
const log = (line: string) => console.log(`${new Date().toISOString()} ${line}`);

if (process.argv.includes("--stop-guests")) {
  log("Guests are off.");
} else if (process.env.REMEMBERING_CLOUD === "broken") {
  log("No network can be made.");
  process.exitCode = 1;
} else {
  const addresses = async () => ({ hostAddress: "10.64.0.1", resolverAddress: "10.64.0.53" });
  await serveCloud({ dir, hypervisor: new RememberingHypervisor(), addresses, log });
}
