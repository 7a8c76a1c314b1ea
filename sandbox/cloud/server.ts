// The cloud's process: DigitalOcean's API on loopback over guests of this machine.
// usage: server.ts [--stop-guests]; the latter powers every guest off, takes the network away and ends.
import { paths } from "../paths.ts";
import { reason } from "./api/errors.ts";
import { NspawnHypervisor } from "./nspawn.ts";
import { serveCloud } from "./serve.ts";

const log = (line: string) => console.log(`${new Date().toISOString()} ${line}`);

async function main(): Promise<void> {
  const hypervisor = new NspawnHypervisor({ report: log });
  if (process.argv.includes("--stop-guests")) return hypervisor.stop();
  const addresses = async () => {
    const plan = await hypervisor.plan();
    return { hostAddress: plan.host.ipv4, resolverAddress: plan.resolver.ipv4 };
  };
  await serveCloud({ dir: paths.cloud, hypervisor, addresses, log });
}

main().then(
  () => process.exit(0),
  (error: unknown) => {
    log(`The cloud failed: ${reason(error)}`);
    if (error instanceof Error && error.stack) console.error(error.stack);
    process.exit(1);
  },
);
