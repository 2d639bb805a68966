/** The same HTTP requests to the member under test and to a real etcd: status, the headers that mean something, and body. */
import assert from "node:assert/strict";
import { type IncomingMessage, request } from "node:http";
import { text } from "node:stream/consumers";
import type { TestContext } from "node:test";
import { isAtLeast } from "./known-differences.ts";

/** What is asked, and since which release etcd answers it as it does now. */
export interface HttpRequest {
  readonly method: string;
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly since?: readonly [number, number];
}

/** The health endpoints: both listeners serve them. */
export const HEALTH_REQUESTS: readonly HttpRequest[] = [
  ...[
    "/health",
    "/health?serializable=true",
    "/health?exclude=NOSPACE",
    "/health?exclude=NOSPACE&exclude=CORRUPT",
  ].map(
    // `reason`, and `serializable` in this form
    (path) => ({ method: "GET", path, since: [3, 5] as const }),
  ),
  { method: "GET", path: "/health?serializable=false&exclude=", since: [3, 5] },
  { method: "POST", path: "/health" },
  { method: "HEAD", path: "/health" },
  ...[
    "/livez",
    "/readyz",
    "/livez?verbose",
    "/readyz?verbose=false",
    "/readyz?exclude=data_corruption",
    "/readyz?exclude=data_corruption&exclude=linearizable_read&verbose",
    "/readyz?exclude=nonsense&exclude=",
    "/readyz?allowlist=serializable_read&verbose",
    "/livez/serializable_read",
    "/livez/serializable_read?verbose",
    "/livez/data_corruption",
    "/livez/",
    "/readyz/data_corruption",
    "/readyz/data_corruption?exclude=data_corruption",
    "/readyz/serializable_read",
    "/readyz/linearizable_read",
    "/readyz/non_learner",
    "/readyz/nonsense",
  ].map((path) => ({ method: "GET", path, since: [3, 6] as const })),
  ...["HEAD", "POST", "OPTIONS", "DELETE"].flatMap((method) =>
    ["/livez", "/readyz/non_learner"].map((path) => ({ method, path, since: [3, 6] as const })),
  ),
];

/** What the client listener serves besides. */
export const CLIENT_REQUESTS: readonly HttpRequest[] = [
  { method: "GET", path: "/version", since: [3, 6] },
  { method: "POST", path: "/version" },
  { method: "HEAD", path: "/version" },
  { method: "OPTIONS", path: "/version" },
  { method: "OPTIONS", path: "/health", headers: { origin: "http://a.example" } },
  { method: "POST", path: "/debug/vars" },
  { method: "GET", path: "/nothing" },
  { method: "GET", path: "/" },
  { method: "GET", path: "/members" },
  { method: "GET", path: "/raft" },
  { method: "GET", path: "/debug/pprof/" },
  { method: "GET", path: "/config/local/log", since: [3, 5] },
];

/** What the listener of `--listen-metrics-urls` does not serve. */
export const METRICS_LISTENER_REQUESTS: readonly HttpRequest[] = [
  { method: "GET", path: "/version" },
  { method: "GET", path: "/debug/vars" },
  { method: "GET", path: "/nothing" },
];

interface Answer {
  readonly status: number | undefined;
  readonly headers: Readonly<Record<string, unknown>>;
  readonly body: string;
}

const HEADERS = [
  "content-type",
  "x-content-type-options",
  "allow",
  "location",
  "access-control-allow-origin",
  "access-control-allow-methods",
  "access-control-allow-headers",
];

/** Sends all `requests` to both, and compares; those that the reference answers in another way are left out, and named. */
export async function compareHttp(
  t: TestContext,
  urls: { readonly ours: string; readonly theirs: string },
  requests: readonly HttpRequest[],
  { version, when }: { readonly version: string; readonly when: string },
): Promise<void> {
  const comparable = requests.filter(({ since }) => since === undefined || isAtLeast(version, since));
  if (comparable.length < requests.length) {
    const left = requests.length - comparable.length;
    t.diagnostic(
      `${when}: ${left} of ${requests.length} not compared, etcd ${version} answers them in another way`,
    );
  }
  for (const asked of comparable) {
    const [ours, theirs] = await Promise.all([ask(urls.ours, asked), ask(urls.theirs, asked)]);
    assert.deepEqual(ours, theirs, `${when}: ${asked.method} ${asked.path}`);
  }
}

async function ask(base: string, { method, path, headers }: HttpRequest): Promise<Answer> {
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    request(base + path, { method, agent: false, headers: { ...headers } }, resolve)
      .on("error", reject)
      .end();
  });
  const shown = HEADERS.filter((name) => response.headers[name] !== undefined);
  return {
    status: response.statusCode,
    headers: Object.fromEntries(shown.map((name) => [name, response.headers[name]])),
    body: normalize(path, await text(response)),
  };
}

/** etcd runs its checks in any order; patch releases of the version it is differ from ours. */
function normalize(path: string, body: string): string {
  if (path.startsWith("/version")) return body.replace(/"etcdserver":"3\.6\.\d+"/, '"etcdserver":"3.6.x"');
  return path.startsWith("/livez") || path.startsWith("/readyz") ? body.split("\n").sort().join("\n") : body;
}
