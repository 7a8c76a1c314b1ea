import { isOn } from "./cloud/guests.ts";
import { type GuestRecord, State } from "./cloud/state.ts";
import { paths } from "./paths.ts";

export interface Guest {
  id: number;
  name: string;
  on: boolean;
  /** Whether it is a droplet; the others are the sandbox's own, such as its DNS. */
  droplet: boolean;
  addresses: string[];
}

/** Every guest of the sandbox, whether the cloud runs or not. */
export async function listGuests(): Promise<Guest[]> {
  const state = new State(paths.cloud);
  const records = await state.guests();
  return Promise.all(
    records.map(async (one) => ({
      id: one.id,
      name: one.name,
      on: await isOn(state.guestDir(one.id)),
      droplet: isDroplet(one),
      addresses: [...one.ipv4, ...one.ipv6],
    })),
  );
}

const isDroplet = (record: GuestRecord) => record.seed !== null;

/**
 * The guest that a person means by a name or a part of one; without a name the only droplet there is.
 *
 * @throws A sentence that lists the names where that fits none or several.
 */
export function chooseGuest(guests: Guest[], name: string | undefined): Guest {
  const [first, ...others] = fitting(guests, name);
  if (first && others.length === 0) return first;
  if (guests.length === 0) {
    throw new Error("The sandbox has no guest yet: `npm run demo` makes one.");
  }
  const names = guests.map((one) => one.name).join(", ");
  const problem = first ? "Several guests fit" : "No guest fits";
  throw new Error(`${problem}${name ? ` "${name}"` : ""}; name one of: ${names}.`);
}

function fitting(guests: Guest[], name: string | undefined): Guest[] {
  if (name === undefined) return guests.filter((one) => one.droplet);
  const exact = guests.filter((one) => one.name === name);
  return exact.length > 0 ? exact : guests.filter((one) => one.name.includes(name));
}
