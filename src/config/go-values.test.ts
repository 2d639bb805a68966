import assert from "node:assert/strict";
import { test } from "node:test";

import { formatGoDuration, parseGoBool, parseGoDuration, parseGoInteger, quoteGo } from "./go-values.ts";

const INT64 = { min: -(2n ** 63n), max: 2n ** 63n - 1n };
const UINT64 = { min: 0n, max: 2n ** 64n - 1n };

test("integers with Go's prefixes and separators", () => {
  for (const [text, value] of [
    ["0", 0],
    ["-5", -5],
    ["+5", 5],
    ["0x1F", 31],
    ["-0x1f", -31],
    ["0b101", 5],
    ["0o17", 15],
    ["017", 15],
    ["1_000_000", 1_000_000],
    ["0x_ff", 255],
    ["9223372036854775807", Number(2n ** 63n)],
    ["-9223372036854775808", -Number(2n ** 63n)],
    ["9223372036854775808", "value out of range"],
    ["", "parse error"],
    ["-", "parse error"],
    ["1_", "parse error"],
    ["_1", "parse error"],
    ["1__0", "parse error"],
    ["08", "parse error"],
    ["1e3", "parse error"],
    ["1.0", "parse error"],
    [" 1", "parse error"],
    ["0x", "parse error"],
  ] as const) {
    assert.equal(parseGoInteger(text, INT64), value, text);
  }
});

test("unsigned integers take no sign", () => {
  assert.equal(parseGoInteger("-1", UINT64), "parse error");
  assert.equal(parseGoInteger("+1", UINT64), "parse error");
  assert.equal(parseGoInteger("18446744073709551615", UINT64), Number(2n ** 64n));
  assert.equal(parseGoInteger("18446744073709551616", UINT64), "value out of range");
});

test("booleans", () => {
  for (const text of ["1", "t", "T", "true", "True", "TRUE"]) assert.equal(parseGoBool(text), true, text);
  for (const text of ["0", "f", "F", "false", "False", "FALSE"]) assert.equal(parseGoBool(text), false, text);
  for (const text of ["", "yes", "tRUE", " true"]) assert.equal(parseGoBool(text), undefined, text);
});

test("durations", () => {
  for (const [text, ms] of [
    ["0", 0],
    ["5s", 5000],
    ["1h30m", 5_400_000],
    ["1.5s", 1500],
    [".5s", 500],
    ["-2ms", -2],
    ["+3m", 180_000],
    ["1us", 0.001],
    ["1\u00b5s", 0.001],
    ["100ns", 0.0001],
    ["2562047h", 2562047 * 3_600_000],
    ["2562048h", undefined],
    ["", undefined],
    ["5", undefined],
    ["s", undefined],
    ["1d", undefined],
    ["1 s", undefined],
    ["1s-", undefined],
  ] as const) {
    assert.equal(parseGoDuration(text), ms, text);
  }
});

test("durations print as Go prints them", () => {
  for (const [ms, text] of [
    [0, "0s"],
    [100, "100ms"],
    [1500, "1.5s"],
    [60_000, "1m0s"],
    [7_200_000, "2h0m0s"],
    [5_400_500, "1h30m0.5s"],
    [0.0025, "2.5\u00b5s"],
    [0.0001, "100ns"],
    [-5000, "-5s"],
  ] as const) {
    assert.equal(formatGoDuration(ms), text);
  }
});

test("texts are quoted as by %q", () => {
  assert.equal(quoteGo('a"b\\c\n\x01'), '"a\\"b\\\\c\\n\\x01"');
});
