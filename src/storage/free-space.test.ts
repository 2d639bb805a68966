import assert from "node:assert/strict";
import { existsSync, statfsSync } from "node:fs";
import { tmpdir } from "node:os";
import { test } from "node:test";
import { freeBytesIn } from "./free-space.ts";

test("a file system that tells its size tells what is free", () => {
  const { blocks, bsize } = statfsSync(tmpdir());
  const freeBytes = freeBytesIn(tmpdir());
  assert.ok(freeBytes > 0 && freeBytes <= blocks * bsize, `${freeBytes} of ${blocks * bsize}`);
});

test(
  "one that reports a size of nothing is not full",
  { skip: existsSync("/proc/self") ? false : "no /proc" },
  () => {
    assert.equal(statfsSync("/proc").blocks, 0);
    assert.equal(freeBytesIn("/proc"), Infinity);
  },
);
