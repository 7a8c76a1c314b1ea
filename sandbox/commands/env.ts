import { sandboxVariables } from "../engine/env.ts";
import { shellQuote } from "../engine/wrapper.ts";
import { stackConfigFile } from "../stack.ts";

/** For `eval "$(npm run --silent sandbox -- env)"`; it holds the token of the sandbox's API. */
export async function env(): Promise<void> {
  const variables = { ...(await sandboxVariables()), PULUMI_STACK: "dev" };
  for (const [name, value] of Object.entries(variables)) {
    console.log(`export ${name}=${shellQuote(value)}`);
  }
  console.log("# The configuration that the sandbox made of Pulumi.dev.yaml:");
  console.log(`# pulumi up --config-file ${shellQuote(stackConfigFile("dev"))}`);
}
