import { Hono } from "hono";
import { notFound } from "./errors.ts";
import { listed } from "./paging.ts";

/** What DigitalOcean sells, as far as the sandbox has it: one operating system, small machines. */

export interface Size {
  slug: string;
  memoryMiB: number;
  vcpus: number;
  diskGigabytes: number;
  priceMonthly: number;
  transferTerabytes: number;
}

export interface Image {
  id: number;
  /** `null` for a snapshot: it is asked for by its id. */
  slug: string | null;
  name: string;
  type: "base" | "snapshot";
  /** The image of the hypervisor that a guest gets. */
  guestImage: string;
}

const sizes: readonly Size[] = [
  size("s-1vcpu-512mb-10gb", 512, 1, 10, 4, 0.5),
  size("s-1vcpu-1gb", 1024, 1, 25, 6, 1),
  size("s-1vcpu-2gb", 2048, 1, 50, 12, 2),
  size("s-2vcpu-2gb", 2048, 2, 60, 18, 3),
  size("s-2vcpu-4gb", 4096, 2, 80, 24, 4),
  size("s-4vcpu-8gb", 8192, 4, 160, 48, 5),
  size("s-8vcpu-16gb", 16384, 8, 320, 96, 6),
];

const images: readonly Image[] = [
  {
    id: 190_000_001,
    slug: "debian-13-x64",
    name: "13 x64",
    type: "base",
    guestImage: "debian-13-x64",
  },
  {
    id: 190_000_002,
    slug: null,
    name: "debian-13-snapshot",
    type: "snapshot",
    guestImage: "debian-13-x64",
  },
];

const regionNames = new Map([
  ["nyc1", "New York 1"],
  ["nyc3", "New York 3"],
  ["sfo3", "San Francisco 3"],
  ["ams3", "Amsterdam 3"],
  ["fra1", "Frankfurt 1"],
  ["lon1", "London 1"],
  ["tor1", "Toronto 1"],
  ["blr1", "Bangalore 1"],
  ["sgp1", "Singapore 1"],
  ["syd1", "Sydney 1"],
]);

/** Where a droplet goes whose request names no region. */
export const defaultRegion = "fra1";

const hoursOfMonth = 672;

function size(
  slug: string,
  memoryMiB: number,
  vcpus: number,
  diskGigabytes: number,
  priceMonthly: number,
  transferTerabytes: number,
): Size {
  return { slug, memoryMiB, vcpus, diskGigabytes, priceMonthly, transferTerabytes };
}

/** `undefined` where there is no such size. */
export function findSize(slug: string): Size | undefined {
  return sizes.find((one) => one.slug === slug.toLowerCase());
}

/** By slug, or by id as a number or its text; `undefined` where there is no such image. */
export function findImage(slugOrId: string | number): Image | undefined {
  return images.find((one) => one.slug === slugOrId || String(one.id) === String(slugOrId));
}

export function isRegion(slug: string): boolean {
  return regionNames.has(slug);
}

export function regionOf(slug: string) {
  return {
    slug,
    name: regionNames.get(slug) ?? slug,
    sizes: sizes.map((one) => one.slug),
    available: regionNames.has(slug),
    features: ["backups", "ipv6", "metadata", "install_agent", "storage", "image_transfer"],
  };
}

export function sizeJson(one: Size) {
  return {
    slug: one.slug,
    memory: one.memoryMiB,
    vcpus: one.vcpus,
    disk: one.diskGigabytes,
    transfer: one.transferTerabytes,
    price_monthly: one.priceMonthly,
    price_hourly: Number((one.priceMonthly / hoursOfMonth).toFixed(5)),
    regions: [...regionNames.keys()],
    available: true,
    description: "Basic",
    disk_info: [{ type: "local", size: { amount: one.diskGigabytes, unit: "gib" } }],
  };
}

export function imageJson(one: Image) {
  return {
    id: one.id,
    name: one.name,
    type: one.type,
    distribution: "Debian",
    slug: one.slug,
    public: one.type === "base",
    regions: [...regionNames.keys()],
    created_at: "2025-08-09T00:00:00Z",
    min_disk_size: 7,
    size_gigabytes: 0.6,
    description: one.type === "base" ? "Debian 13 x64" : "A snapshot of a Debian 13 machine",
    tags: [],
    status: "available",
    error_message: "",
  };
}

export function catalogueRoutes(): Hono {
  const routes = new Hono();
  routes.get("/regions", (c) => c.json(listed(c, "regions", [...regionNames.keys()], regionOf)));
  routes.get("/sizes", (c) => c.json(listed(c, "sizes", sizes, sizeJson)));
  routes.get("/images", (c) => {
    const onlyOwn = c.req.query("private") === "true";
    const type = c.req.query("type");
    const shown = images.filter(
      (one) => !(onlyOwn && one.type === "base") && !(type && one.type !== "base"),
    );
    const found = type === "application" || c.req.query("tag_name") ? [] : shown;
    return c.json(listed(c, "images", found, imageJson));
  });
  routes.get("/images/:id", (c) => {
    const image = findImage(c.req.param("id"));
    if (!image) throw notFound();
    return c.json({ image: imageJson(image) });
  });
  return routes;
}
