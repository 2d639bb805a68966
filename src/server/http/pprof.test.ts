import assert from "node:assert/strict";
import { once } from "node:events";
import { readdirSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { after, test } from "node:test";

import { LogThreshold, SILENT_LOGGER } from "../../telemetry/logger.ts";
import { serveLogLevel } from "./log-level.ts";
import { Pprof, type MemberMemory, type ThreadProfiles } from "./pprof.ts";
import { packTar } from "./tar.ts";

/** Profiles that end when the test says so. */
class HeldProfiles implements ThreadProfiles {
  readonly threads = ["main", "apply"];
  readonly calls: [readonly string[], number][] = [];
  readonly begun = Promise.withResolvers<AbortSignal>();
  readonly release = Promise.withResolvers<void>();

  async cpuProfiles(
    names: readonly string[],
    durationMs: number,
    signal: AbortSignal,
  ): Promise<Map<string, string>> {
    this.calls.push([names, durationMs]);
    this.begun.resolve(signal);
    await this.release.promise;
    return new Map(names.map((name) => [name, JSON.stringify({ of: name })]));
  }

  heapSnapshot(name: string, path: string): Promise<void> {
    writeFileSync(path, `snapshot of ${name}`, { flag: "wx" });
    return name === "apply" ? Promise.reject(new Error("disk full")) : Promise.resolve();
  }

  async memory(collect: boolean): Promise<MemberMemory> {
    const main = { heapUsed: collect ? 1 : 2, heapTotal: 3, external: 4, arrayBuffers: 5 };
    return { rss: 6, threads: { main } };
  }
}

async function listen(profiles: ThreadProfiles): Promise<string> {
  const pprof = new Pprof({ logger: SILENT_LOGGER, profiles });
  const server = createServer((request, response) => {
    const url = new URL(request.url ?? "", "http://localhost");
    pprof.serve({ request, response, url }).catch(() => response.writeHead(500).end());
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  after(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/debug/pprof/`;
}

test("a profile of all threads is an archive, that of one a .cpuprofile; only one is taken at a time", async () => {
  const profiles = new HeldProfiles();
  const base = await listen(profiles);
  const all = fetch(`${base}profile`);
  await profiles.begun.promise;
  for (const path of ["profile?seconds=1", "heap", "memory?gc=1"]) {
    const refused = await fetch(base + path);
    assert.equal(refused.status, 503, path);
    assert.equal(await refused.text(), "another profile is being taken: one at a time\n");
  }
  profiles.release.resolve();
  const archive = Buffer.from(await (await all).arrayBuffer());
  assert.deepEqual([archive.toString("latin1", 0, 15), archive.length % 512], ["main.cpuprofile", 0]);
  assert.equal(archive.toString("latin1", 512, 525), '{"of":"main"}');
  assert.equal(archive.toString("latin1", 1024, 1040), "apply.cpuprofile");
  const one = await fetch(`${base}profile?seconds=2&thread=apply`);
  assert.equal(await one.text(), '{"of":"apply"}');
  assert.equal(one.headers.get("content-disposition"), 'attachment; filename="apply.cpuprofile"');
  assert.deepEqual(profiles.calls, [
    [["main", "apply"], 30_000],
    [["apply"], 2000],
  ]);
});

test("a client that goes away ends its profile", async () => {
  const profiles = new HeldProfiles();
  const base = await listen(profiles);
  const gone = new AbortController();
  const request = fetch(`${base}profile`, { signal: gone.signal });
  const signal = await profiles.begun.promise;
  gone.abort();
  await assert.rejects(request);
  if (!signal.aborted) await once(signal, "abort");
  profiles.release.resolve();
});

test("times and threads that do not exist are refused before anything begins", async () => {
  const profiles = new HeldProfiles();
  const base = await listen(profiles);
  for (const seconds of ["0", "61", "1.5", "x"]) {
    assert.equal((await fetch(`${base}profile?seconds=${seconds}`)).status, 400, seconds);
  }
  for (const path of ["profile?thread=x", "heap?thread=x", "goroutine"]) {
    assert.equal((await fetch(base + path)).status, 404, path);
  }
  assert.equal((await fetch(base, { method: "POST" })).status, 405);
  assert.deepEqual(profiles.calls, []);
});

test("a heap snapshot leaves no file behind, whether it succeeds or fails", async () => {
  const base = await listen(new HeldProfiles());
  assert.equal(await (await fetch(`${base}heap`)).text(), "snapshot of main");
  assert.equal((await fetch(`${base}heap?thread=apply`)).status, 500);
  const left = readdirSync(tmpdir()).filter((name) => name.startsWith("concord-heap-"));
  assert.deepEqual(left, []);
});

test("memory is told as it is, or behind a collection", async () => {
  const base = await listen(new HeldProfiles());
  const used = async (query: string): Promise<unknown> => {
    const memory = (await (await fetch(`${base}memory${query}`)).json()) as MemberMemory;
    return [memory.rss, memory.threads["main"].heapUsed];
  };
  assert.deepEqual(
    [await used(""), await used("?gc=0"), await used("?gc=1")],
    [
      [6, 2],
      [6, 2],
      [6, 1],
    ],
  );
});

test("the checksum of a tar header is the sum of its bytes, its own field read as spaces", () => {
  const [header] = packTar([{ name: "a", bytes: Buffer.from("x") }], 0) as Buffer[];
  const written = parseInt(header.toString("latin1", 148, 154), 8);
  const cleared = Buffer.from(header).fill(" ", 148, 156);
  assert.equal(
    written,
    cleared.reduce((sum, byte) => sum + byte, 0),
  );
});

test("the log's level is read and set, and nonsense is refused", async () => {
  const threshold = LogThreshold.at("info");
  const server = createServer((request, response) => {
    void serveLogLevel({ logger: SILENT_LOGGER, threshold }, request, response);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  after(() => server.close());
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/config/local/log`;
  const put = async (body: string): Promise<number> => (await fetch(url, { method: "PUT", body })).status;
  assert.equal(await put('{"Level":"DEBUG"}'), 204);
  assert.equal(threshold.level, "debug");
  for (const body of ["", "{", "null", '{"Level":"loud"}', `{"Level":"${"x".repeat(2000)}"}`]) {
    assert.equal(await put(body), 400, body.slice(0, 20));
  }
  assert.equal(await (await fetch(url)).text(), '{"Level":"debug"}');
  assert.equal((await fetch(url, { method: "POST" })).status, 405);
});
