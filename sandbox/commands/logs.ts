import { access } from "node:fs/promises";
import { guestShell } from "../cloud/shell.ts";
import { chooseGuest, listGuests } from "../guests.ts";
import { paths } from "../paths.ts";
import { runOnTerminal } from "../process.ts";

/** The last lines of a guest's journal or, for "cloud", of the cloud's own log; returns an exit code. */
export async function logs(
  name: string | undefined,
  options: { follow?: boolean },
): Promise<number> {
  const follow = options.follow ? ["--follow"] : [];
  if (name === "cloud") {
    await access(paths.cloudLog).catch(() => {
      throw new Error("The cloud has no log yet: it has not been started in this checkout.");
    });
    return runOnTerminal("tail", ["--lines=200", ...follow, paths.cloudLog]);
  }
  const guest = chooseGuest(await listGuests(), name);
  return guestShell(guest.id, ["journalctl", "--no-pager", "--lines=200", ...follow]);
}
