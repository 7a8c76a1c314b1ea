import { Hono } from "hono";
import { accountRoutes } from "./account.ts";
import { actionRoutes } from "./actions.ts";
import { catalogueRoutes } from "./catalogue.ts";
import type { Cloud } from "./cloud.ts";
import { domainRoutes } from "./domains.ts";
import { dropletActionRoutes } from "./droplet-actions.ts";
import { dropletRoutes } from "./droplets.ts";
import { notFound } from "./errors.ts";
import { firewallRoutes } from "./firewalls.ts";
import { inspectRoutes } from "./inspect.ts";
import {
  answerError,
  authenticated,
  limited,
  named,
  persisted,
  type RateLimit,
  RateLimiter,
} from "./manners.ts";
import { projectRoutes } from "./projects.ts";
import { reservedIpRoutes } from "./reserved-ips.ts";
import { tagRoutes } from "./tags.ts";
import { volumeActionRoutes } from "./volume-actions.ts";
import { volumeRoutes } from "./volumes.ts";
import { vpcRoutes } from "./vpcs.ts";

/** DigitalOcean's is 5000 an hour; here every stack and test of a machine shares one account. */
const generous: RateLimit = { requests: 1_000_000, windowSeconds: 3600 };

/** The API under `/v2`, as DigitalOcean's, and what the sandbox asks of itself under `/sandbox`. */
export function createApp(cloud: Cloud, token: string, limit: RateLimit = generous): Hono {
  const limiter = new RateLimiter(limit);
  const app = new Hono();
  app.onError(answerError(cloud.log));
  app.notFound((c) => {
    cloud.log(`the sandbox has no ${c.req.method} ${c.req.path}`);
    return answerError(cloud.log)(notFound(), c);
  });
  app.use(named(cloud.log), authenticated(token));
  app.use("/v2/*", limited(limiter), persisted(cloud.store));
  const resources = [
    accountRoutes(cloud),
    actionRoutes(cloud),
    catalogueRoutes(),
    dropletActionRoutes(cloud),
    dropletRoutes(cloud),
    domainRoutes(cloud),
    firewallRoutes(cloud),
    projectRoutes(cloud),
    reservedIpRoutes(cloud),
    tagRoutes(cloud),
    volumeActionRoutes(cloud),
    volumeRoutes(cloud),
    vpcRoutes(cloud),
  ];
  for (const routes of resources) app.route("/v2", routes);
  app.route("/sandbox", inspectRoutes(cloud, limiter));
  return app;
}
