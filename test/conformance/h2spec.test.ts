/**
 * The HTTP/2 conformance suite h2spec (generic, http2, hpack) against the native transport. The binary is $H2SPEC or `h2spec` on PATH:
 * `go install github.com/summerwind/h2spec/cmd/h2spec@latest`.
 */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { test } from "node:test";

import { findOnPath, skipWithout } from "../support/binaries.ts";
import { listenForTest } from "../support/grpc-listener.ts";
import { TableLog, testTable } from "../support/grpc-table.ts";

/** h2spec 2.2.1 and later have this many; fewer means that something was not run. */
const TESTS_MIN = 145;
const RUN_MS_MAX = 60_000;

const h2spec = process.env["H2SPEC"] ?? findOnPath("h2spec");
const skip = skipWithout("h2spec", h2spec);

test("h2spec passes in full", skip === undefined ? {} : { skip }, async (t) => {
  assert.ok(h2spec !== undefined, "no h2spec on PATH and no $H2SPEC");
  const { port } = await listenForTest(t, { services: testTable(new TableLog()) });
  const report = await runH2spec(h2spec, port);
  const totals = /(\d+) tests, (\d+) passed, (\d+) skipped, (\d+) failed/.exec(report);
  assert.ok(totals !== null, `no totals in:\n${report}`);
  const [, tests, passed, skipped, failed] = totals.map(Number);
  assert.deepEqual({ passed, skipped, failed }, { passed: tests, skipped: 0, failed: 0 }, report);
  assert.ok(tests >= TESTS_MIN, `${tests} tests`);
});

/** Resolves with what h2spec printed, whatever its exit code. */
function runH2spec(file: string, port: number): Promise<string> {
  const args = ["--host", "127.0.0.1", "--port", String(port), "--timeout", "2"];
  return new Promise((resolve) => {
    execFile(file, args, { timeout: RUN_MS_MAX }, (_error, stdout, stderr) => resolve(stdout + stderr));
  });
}
