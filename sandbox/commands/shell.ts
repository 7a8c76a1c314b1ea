import { guestShell } from "../cloud/shell.ts";
import { chooseGuest, listGuests } from "../guests.ts";

/** A root shell in a guest, or one command in it, from `[GUEST] [-- COMMAND…]`; returns its exit code. */
export async function shell(args: string[]): Promise<number> {
  const dashes = args.indexOf("--");
  const [name] = dashes < 0 ? args : args.slice(0, dashes);
  const command = dashes < 0 ? [] : args.slice(dashes + 1);
  const guest = chooseGuest(await listGuests(), name);
  return guestShell(guest.id, command.length > 0 ? command : ["bash", "--login"]);
}
