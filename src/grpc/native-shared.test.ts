/** The limit over all connections of a transport. */
import assert from "node:assert/strict";
import { test } from "node:test";

import { PENDING_BYTES_TOTAL_MAX } from "../http2/limits.ts";
import { NativeShared } from "./native-shared.ts";

test("too much that waits for all clients together is told at the next flush", () => {
  const limits = {
    receiveBytesMax: 1,
    concurrentStreamsMax: 1,
    keepaliveMinTimeMs: 0,
    keepaliveIntervalMs: 0,
    keepaliveTimeoutMs: 0,
  };
  let told = 0;
  const shared = new NativeShared({ services: new Map(), limits }, () => told++);
  shared.pendingTotal.bytes = PENDING_BYTES_TOTAL_MAX;
  shared.flush();
  assert.equal(told, 0);
  shared.pendingTotal.bytes++;
  shared.flush();
  assert.equal(told, 1);
});
