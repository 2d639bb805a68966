import assert from "node:assert/strict";
import { test } from "node:test";

import { encodeStatusMessage } from "./status-message.ts";
import { parseTimeout } from "../http2/grpc-timeout.ts";

test("grpc-timeout: every unit, and nothing malformed", () => {
  const table: [string, number][] = [
    ["1H", 3_600_000],
    ["2M", 120_000],
    ["3S", 3_000],
    ["4m", 4],
    ["5000u", 5],
    ["6000000n", 6],
    ["99999999m", 99_999_999],
    ["0S", 0],
    ["007m", 7],
    ["", -1],
    ["S", -1],
    ["1", -1],
    ["123456789S", -1],
    ["-1S", -1],
    ["1.5S", -1],
    ["1s", -1],
  ];
  for (const [text, ms] of table) {
    const bytes = Buffer.from(`x${text}`);
    const field = parseTimeout(bytes, 1, bytes.length);
    assert.ok(Math.abs(field.timeoutMs - ms) < 1e-6, text);
    assert.equal(field.value, text);
    assert.equal(field.bytes, "grpc-timeout".length + text.length + 32);
  }
});

test("grpc-message: printable ASCII stays, the rest is percent-encoded UTF-8", () => {
  assert.equal(encodeStatusMessage("etcdserver: key not found"), "etcdserver: key not found");
  assert.equal(encodeStatusMessage("50% é\n"), "50%25 %C3%A9%0A");
  assert.equal(encodeStatusMessage(" a "), "%20a%20");
});
