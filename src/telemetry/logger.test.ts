import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";

import { formatTimestamp } from "./log-format.ts";
import { LogSampler } from "./log-sampler.ts";
import { openLog } from "./log.ts";
import { LogThreshold, workerLogger, type LogRecord } from "./logger.ts";

const folder = mkdtempSync(join(tmpdir(), "concord-log-"));
after(() => rmSync(folder, { recursive: true }));

function linesOf(file: string): string[] {
  return readFileSync(file, "utf8").trimEnd().split("\n");
}

test("a JSON line has etcd's keys in etcd's order", () => {
  const file = join(folder, "json.log");
  const log = openLog({ level: "info", format: "json", outputs: [file] });
  log.info("ready to serve client requests", { id: 0x8e9e05c52164694dn, n: 1, error: new Error("bad") });
  log.debug("not written");
  const [line, ...others] = linesOf(file);
  assert.equal(others.length, 0);
  assert.match(
    line,
    /^\{"level":"info","ts":"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}(Z|[+-]\d{4})","caller":"telemetry\/logger\.test\.ts:\d+","msg":"ready to serve client requests","id":"8e9e05c52164694d","n":1,"error":"bad"\}$/,
  );
});

test("every level is named as in etcd", () => {
  const file = join(folder, "levels.log");
  const log = openLog({ level: "debug", format: "json", outputs: [file] });
  for (const level of ["debug", "info", "warn", "error", "fatal"] as const) log[level]("m");
  const levels = linesOf(file).map((line) => (JSON.parse(line) as { level: string }).level);
  assert.deepEqual(levels, ["debug", "info", "warn", "error", "fatal"]);
});

test("several outputs get the same line, files are appended to", () => {
  const files = [join(folder, "a.log"), join(folder, "b.log")];
  openLog({ level: "info", format: "json", outputs: files }).info("first");
  openLog({ level: "info", format: "json", outputs: files }).info("second");
  assert.deepEqual(linesOf(files[0]), linesOf(files[1]));
  assert.equal(linesOf(files[0]).length, 2);
});

test("the console format has tabs between time, level, caller, message and fields", () => {
  const file = join(folder, "console.log");
  const log = openLog({ level: "info", format: "console", outputs: [file] });
  log.warn("slow", { took: "1.5ms" });
  log.warn("plain");
  const [withFields, plain] = linesOf(file);
  assert.match(withFields, /^\S+\twarn\ttelemetry\/logger\.test\.ts:\d+\tslow\t\{"took":"1\.5ms"\}$/);
  assert.match(plain, /\tplain$/);
});

test("a worker's record can be cloned, and is written with the worker's place and time", () => {
  const sent: LogRecord[] = [];
  const worker = workerLogger(
    { postMessage: (record) => sent.push(structuredClone(record)) },
    LogThreshold.at("warn"),
  );
  worker.info("below the level");
  worker.error("failed", { error: new RangeError("far"), "member-id": 255n });
  assert.equal(sent.length, 1);
  const file = join(folder, "worker.log");
  const record = { ...sent[0], unixMs: Date.UTC(2026, 0, 2, 3, 4, 5, 6) + 0.789 };
  openLog({ level: "info", format: "json", outputs: [file] }).write(record);
  const line = JSON.parse(linesOf(file)[0]) as Record<string, string>;
  assert.equal(line["ts"], formatTimestamp(record.unixMs));
  assert.match(line["caller"], /^telemetry\/logger\.test\.ts:\d+$/);
  assert.deepEqual([line["error"], line["member-id"]], ["far", "ff"]);
});

test("the time stamp is local time with microseconds and offset", () => {
  const before = process.env["TZ"];
  after(() => {
    if (before === undefined) delete process.env["TZ"];
    else process.env["TZ"] = before;
  });
  const unixMs = Date.UTC(2026, 6, 1, 12, 0, 0, 7) + 0.123;
  process.env["TZ"] = "UTC";
  assert.equal(formatTimestamp(unixMs), "2026-07-01T12:00:00.007123Z");
  process.env["TZ"] = "Asia/Kolkata";
  assert.equal(formatTimestamp(unixMs), "2026-07-01T17:30:00.007123+0530");
  process.env["TZ"] = "America/New_York";
  assert.equal(formatTimestamp(unixMs), "2026-07-01T08:00:00.007123-0400");
});

test("of a flood the first 100 a second are written, then every 100th", () => {
  const sampler = new LogSampler();
  const admitted = (unixMs: number): number => {
    let count = 0;
    for (let i = 0; i < 1000; i++) if (sampler.admits("warn", "flood", unixMs)) count++;
    return count;
  };
  assert.equal(admitted(5000), 109);
  assert.equal(admitted(5999), 10, "still the same second");
  assert.equal(sampler.admits("warn", "another", 5999), true);
  assert.equal(admitted(6000), 109);
});
