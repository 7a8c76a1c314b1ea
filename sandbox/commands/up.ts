import { startCloud } from "../cloud/client.ts";
import { setupOnly } from "./setup.ts";

export async function up(): Promise<void> {
  await setupOnly();
  await startCloud();
  console.log("The cloud runs. `npm run sandbox -- status` shows what is in it.");
}
