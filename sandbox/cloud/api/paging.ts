import type { Context } from "hono";

const defaultPerPage = 20;
const mostPerPage = 200;

/**
 * One page of `items` under `key`, with `links.pages` and `meta.total`.
 * Takes `page` and `per_page` (at most 200) from the query; nonsense counts as not given.
 */
export function listed<Item, Json>(
  c: Context,
  key: string,
  items: readonly Item[],
  json: (item: Item) => Json,
): Record<string, unknown> {
  const perPage = Math.min(positive(c.req.query("per_page")) ?? defaultPerPage, mostPerPage);
  const page = positive(c.req.query("page")) ?? 1;
  const last = Math.max(1, Math.ceil(items.length / perPage));
  const start = (page - 1) * perPage;
  return {
    [key]: items.slice(start, start + perPage).map(json),
    links: links(c.req.url, page, last),
    meta: { total: items.length },
  };
}

function positive(text: string | undefined): number | null {
  if (text === undefined || !/^\d{1,9}$/.test(text)) return null;
  const value = Number(text);
  return value >= 1 ? value : null;
}

function links(url: string, page: number, last: number): { pages?: Record<string, string> } {
  const at = (number: number) => {
    const link = new URL(url);
    link.searchParams.set("page", String(number));
    return link.href;
  };
  const pages: Record<string, string> = {};
  if (page > 1) {
    pages.first = at(1);
    pages.prev = at(page - 1);
  }
  if (page < last) {
    pages.next = at(page + 1);
    pages.last = at(last);
  }
  return Object.keys(pages).length > 0 ? { pages } : {};
}
