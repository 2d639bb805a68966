import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, createServer, type AddressInfo, type Server as NetServer } from "node:net";
import { text } from "node:stream/consumers";
import { after, describe, test } from "node:test";

import { SERVER_VERSION } from "../../base/version.ts";
import { SILENT_LOGGER } from "../../telemetry/logger.ts";
import { createHttp1Handler, type HttpDeps, type HttpSurface } from "./http.ts";

type Recorded = [string, string, boolean];

function createDeps(changes: Partial<HttpDeps> = {}): HttpDeps & { recorded: Recorded[] } {
  const recorded: Recorded[] = [];
  return {
    recorded,
    logger: SILENT_LOGGER,
    hostWhitelist: ["*"],
    corsOrigins: ["*"],
    clusterVersion: () => "3.6.0",
    storageVersion: () => undefined,
    alarms: () => [],
    hasLeader: () => true,
    isLearner: () => false,
    linearizableRead: () => Promise.resolve(),
    serializableRead: () => Promise.resolve(),
    recordHealth: (healthy) => recorded.push(["health", "", healthy]),
    recordHealthCheck: (type, name, passed) => recorded.push([type, name, passed]),
    scrapeMetrics: () => Promise.resolve({ contentType: "text/plain; version=0.0.4", body: "x 1" }),
    raftStatus: () => ({ id: 0xabcn }),
    debugging: null,
    ...changes,
  };
}

/** Every connection reaches the server as the gRPC transport hands it over: its first bytes were read and put back. */
async function listen(
  deps: HttpDeps,
  surface: HttpSurface = "client",
): Promise<{ url: string; port: number }> {
  const http = createHttp1Handler(deps, {
    surface,
    timeouts: { headMs: 60, requestMs: 60, idleMs: 1000, checkMs: 20 },
  });
  const front: NetServer = createServer({ allowHalfOpen: true }, (socket) => {
    socket.once("data", (bytes) => {
      socket.unshift(bytes);
      http.emit("connection", socket);
    });
  });
  front.listen(0, "127.0.0.1");
  await once(front, "listening");
  after(() => {
    http.closeAllConnections();
    front.close();
  });
  const { port } = front.address() as AddressInfo;
  return { url: `http://127.0.0.1:${port}`, port };
}

async function get(base: string, path: string, init?: RequestInit): Promise<[number, string]> {
  const response = await fetch(base + path, init);
  return [response.status, await response.text()];
}

describe("client surface", () => {
  test("/version tells what is known", async () => {
    const { url } = await listen(createDeps());
    const response = await fetch(`${url}/version`);
    assert.equal(response.headers.get("content-type"), "application/json");
    assert.equal(
      await response.text(),
      `{"etcdserver":"${SERVER_VERSION}","etcdcluster":"3.6.0","storage":"unknown"}`,
    );
  });

  test("unknown paths and wrong methods get Go's texts", async () => {
    const { url } = await listen(createDeps());
    for (const path of ["/nothing", "/debug/pprof/", "/debug/pprof/heap", "/config/local/log"])
      assert.deepEqual(await get(url, path), [404, "404 page not found\n"], path);
    assert.deepEqual(await get(url, "/livez/data_corruption"), [404, "404 page not found\n"]);
    for (const path of ["/version", "/health", "/livez", "/readyz", "/debug/vars"]) {
      const response = await fetch(url + path, { method: "POST" });
      assert.equal(response.status, 405, path);
      assert.equal(response.headers.get("allow"), "GET", path);
      assert.equal(await response.text(), "Method Not Allowed\n", path);
    }
  });

  test("/metrics is what a scrape gives, with its content type", async () => {
    const { url } = await listen(createDeps());
    const response = await fetch(`${url}/metrics`);
    assert.equal(response.headers.get("content-type"), "text/plain; version=0.0.4");
    assert.equal(await response.text(), "x 1");
  });

  test("/debug/vars is JSON with IDs in hex", async () => {
    const { url } = await listen(createDeps());
    const vars = JSON.parse((await get(url, "/debug/vars"))[1]) as Record<string, unknown>;
    assert.deepEqual(Object.keys(vars), ["cmdline", "file_descriptor_limit", "memstats", "raft.status"]);
    assert.deepEqual(vars["raft.status"], { id: "abc" });
  });

  test("a defect becomes a 500 and not a hanging request", async () => {
    const { url } = await listen(createDeps({ scrapeMetrics: () => Promise.reject(new Error("boom")) }));
    assert.deepEqual(await get(url, "/metrics"), [500, "Internal Server Error\n"]);
  });

  test("CORS headers and preflight", async () => {
    const { url } = await listen(createDeps({ corsOrigins: ["http://a.example:1"] }));
    const allowed = await fetch(`${url}/version`, {
      method: "OPTIONS",
      headers: { origin: "http://a.example:1" },
    });
    assert.equal(allowed.status, 200);
    assert.equal(allowed.headers.get("access-control-allow-origin"), "http://a.example:1");
    const refused = await fetch(`${url}/version`, { headers: { origin: "http://b.example:1" } });
    assert.equal(refused.headers.get("access-control-allow-origin"), null);
    assert.equal(refused.status, 200);
  });

  test("a host outside the whitelist is refused with 421", async () => {
    const { url } = await listen(createDeps({ hostWhitelist: ["good.example"] }));
    const [status, body] = await get(url, "/version");
    assert.equal(status, 421);
    assert.match(body, /--host-whitelist "127\.0\.0\.1"/);
  });
});

describe("health", () => {
  const down = (): Promise<void> => Promise.reject(new Error("etcdserver: request timed out"));

  test("/health of a healthy member", async () => {
    const deps = createDeps();
    const { url } = await listen(deps);
    const response = await fetch(`${url}/health`);
    assert.equal(response.headers.get("content-type"), "text/plain; charset=utf-8");
    assert.equal(await response.text(), '{"health":"true","reason":""}');
    assert.deepEqual(deps.recorded, [["health", "", true]]);
  });

  test("/health gives the first reason: alarm, leader, read", async () => {
    const alarms = (): [{ memberId: bigint; type: "NOSPACE" }] => [{ memberId: 1n, type: "NOSPACE" }];
    const { url } = await listen(
      createDeps({ alarms, hasLeader: () => false, linearizableRead: down, serializableRead: down }),
    );
    const unhealthy = (reason: string): [number, string] => {
      return [503, `{"health":"false","reason":"${reason}"}\n`];
    };
    assert.deepEqual(await get(url, "/health"), unhealthy("ALARM NOSPACE"));
    assert.deepEqual(await get(url, "/health?exclude=CORRUPT"), unhealthy("ALARM NOSPACE"));
    assert.deepEqual(await get(url, "/health?exclude=NOSPACE"), unhealthy("RAFT NO LEADER"));
    const serializable = "/health?exclude=CORRUPT&exclude=NOSPACE&serializable=true";
    assert.deepEqual(await get(url, serializable), unhealthy("RANGE ERROR:etcdserver: request timed out"));
  });

  test("serializable=true does without consensus", async () => {
    const { url } = await listen(createDeps({ hasLeader: () => false, linearizableRead: down }));
    assert.equal((await get(url, "/health?serializable=true"))[0], 200);
  });

  test("/livez and /readyz, plain, verbose and single", async () => {
    const { url } = await listen(createDeps());
    assert.deepEqual(await get(url, "/livez"), [200, "ok\n"]);
    assert.deepEqual(await get(url, "/livez?verbose"), [200, "[+]serializable_read ok\nok\n"]);
    assert.deepEqual(await get(url, "/readyz?verbose&exclude=linearizable_read&exclude=serializable_read"), [
      200,
      "[+]data_corruption ok\n[+]non_learner ok\nok\n",
    ]);
    assert.deepEqual(await get(url, "/readyz/non_learner"), [200, "ok\n"]);
  });

  test("/readyz names what failed", async () => {
    const deps = createDeps({
      alarms: () => [{ memberId: 1n, type: "CORRUPT" }],
      linearizableRead: down,
      isLearner: () => true,
    });
    const { url } = await listen(deps);
    assert.deepEqual(await get(url, "/readyz"), [
      503,
      "[-]data_corruption failed: alarm activated: CORRUPT\n" +
        "[+]serializable_read ok\n" +
        "[-]linearizable_read failed: etcdserver: request timed out\n" +
        "[-]non_learner failed: not supported for learner\n\n",
    ]);
    assert.deepEqual(deps.recorded[0], ["readyz", "data_corruption", false]);
    assert.equal((await get(url, "/livez"))[0], 200, "a member that is alive but not ready");
    assert.deepEqual(await get(url, "/readyz/non_learner"), [
      503,
      "[-]non_learner failed: not supported for learner\n\n",
    ]);
  });
});

test("the metrics surface serves health and metrics only, to any host", async () => {
  const { url } = await listen(createDeps({ hostWhitelist: ["good.example"] }), "metrics");
  for (const path of ["/metrics", "/health", "/livez", "/readyz", "/livez/serializable_read"]) {
    assert.equal((await get(url, path))[0], 200, path);
  }
  for (const path of ["/version", "/debug/vars"]) assert.equal((await get(url, path))[0], 404, path);
});

test("several requests on one connection", async () => {
  const { port } = await listen(createDeps());
  const socket = connect(port, "127.0.0.1");
  const request = "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n";
  socket.end(request + request + request.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n"));
  assert.equal((await text(socket)).match(/\r\n\r\nok\n/g)?.length, 3);
});

test("a client that ends its side behind its request is answered", async () => {
  const later = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 20));
  const { port } = await listen(createDeps({ linearizableRead: later }));
  const socket = connect(port, "127.0.0.1");
  socket.end("GET /health HTTP/1.1\r\nHost: x\r\n\r\n");
  assert.match(await text(socket), /^HTTP\/1\.1 200 .*"health":"true"/s);
});

test("a request head that never ends is answered with 408 and closed", async () => {
  const { port } = await listen(createDeps());
  const socket = connect(port, "127.0.0.1");
  socket.write("GET /version HTTP/1.1\r\nHost: x\r\n");
  assert.match(await text(socket), /^HTTP\/1\.1 408 /);
});
