import assert from "node:assert/strict";
import { test } from "node:test";
import { formatGoDuration, parseGoDuration } from "./go-duration.ts";
import { parseInt64 } from "./go-number.ts";
import { goQuote, goUnquote } from "./go-quote.ts";
import { humanBytes } from "./human-bytes.ts";
import { decodeOsString, encodeOsString } from "./os-string.ts";
import { textTable } from "./text-table.ts";

test("durations read as Go prints them", () => {
  const cases: [bigint, string][] = [
    [0n, "0s"],
    [999n, "999ns"],
    [1_500n, "1.5µs"],
    [4_021_999n, "4.021999ms"],
    [3_500_940n, "3.50094ms"],
    [2_000_000_000n, "2s"],
    [90_000_000_000n, "1m30s"],
    [3_600_000_000_000n, "1h0m0s"],
    [-1_500_000n, "-1.5ms"],
  ];
  for (const [ns, text] of cases) {
    assert.equal(formatGoDuration(ns), text);
    assert.equal(parseGoDuration(text), ns);
  }
  assert.equal(parseGoDuration("1.5h"), 5_400_000_000_000n);
  assert.throws(() => parseGoDuration("5"), /^SyntaxProblem|time: missing unit in duration "5"/);
  assert.throws(() => parseGoDuration("5x"), /time: unknown unit "x" in duration "5x"/);
  assert.throws(() => parseGoDuration(""), /time: invalid duration ""/);
});

test("integers are exact to 64 bits, with strconv's words for what is wrong", () => {
  assert.equal(parseInt64("9223372036854775807", 10), 2n ** 63n - 1n);
  assert.equal(parseInt64("-8000000000000000", 16), -(2n ** 63n));
  assert.equal(parseInt64("0x1F", 0), 31n);
  assert.throws(
    () => parseInt64("9223372036854775808", 10),
    /ParseInt: parsing "9223372036854775808": value out of range/,
  );
  assert.throws(() => parseInt64("zz", 16), /strconv\.ParseInt: parsing "zz": invalid syntax/);
  assert.throws(() => parseInt64("0x12", 16), /invalid syntax/);
});

test("quoting keeps every byte and reads back", () => {
  const cases: [Uint8Array, string][] = [
    [Buffer.from('a"b\\'), String.raw`"a\"b\\"`],
    [Buffer.from("\n\t\x07\x00\x7f"), String.raw`"\n\t\a\x00\x7f"`],
    [Buffer.from("ü€😀 "), '"ü€😀 "'],
    [Uint8Array.of(0x61, 0xff, 0xc3), String.raw`"a\xff\xc3"`],
    [Buffer.from("\u00a0\u2028"), String.raw`"\u00a0\u2028"`],
  ];
  for (const [bytes, quoted] of cases) {
    assert.equal(goQuote(bytes), quoted);
    assert.deepEqual(Buffer.from(encodeOsString(goUnquote(quoted)!)), Buffer.from(bytes));
  }
  assert.equal(goUnquote(String.raw`"\u00e9\x41\101"`), "éAA");
  assert.equal(goUnquote("`raw\\n`"), "raw\\n");
  for (const bad of [String.raw`"\q"`, '"open', String.raw`"\400"`, String.raw`"\ud800"`, "plain"]) {
    assert.equal(goUnquote(bad), undefined, bad);
  }
});

test("text holds any bytes", () => {
  // Every byte, every pair of a leading byte with what follows, overlong forms and surrogates.
  for (let first = 0; first < 256; first++) {
    for (const rest of [[], [0x41], [0x80], [0xbf, 0x80], [0xa0, 0x80, 0x80], [0x9f, 0xbf, 0xbf]]) {
      const bytes = Uint8Array.of(first, ...rest);
      const text = decodeOsString(bytes);
      assert.deepEqual(
        Buffer.from(encodeOsString(text)),
        Buffer.from(bytes),
        Buffer.from(bytes).toString("hex"),
      );
      const strict = Buffer.from(bytes).toString("utf8");
      if (!strict.includes("\ufffd")) assert.equal(text, strict);
    }
  }
});

test("sizes for people", () => {
  const cases: [bigint, string][] = [
    [0n, "0 B"],
    [999n, "999 B"],
    [20_480n, "20 kB"],
    [1_500n, "1.5 kB"],
    [21_500n, "22 kB"],
    [2_147_483_648n, "2.1 GB"],
  ];
  for (const [bytes, text] of cases) assert.equal(humanBytes(bytes), text);
});

test("tables are drawn as etcd's tools draw them", () => {
  const rows = [["127.0.0.1:23790", "true", "3.50094ms", ""]];
  assert.equal(
    textTable(["endpoint", "health", "took", "error"], rows),
    `
+-----------------+--------+-----------+-------+
|    ENDPOINT     | HEALTH |   TOOK    | ERROR |
+-----------------+--------+-----------+-------+
| 127.0.0.1:23790 |   true | 3.50094ms |       |
+-----------------+--------+-----------+-------+
`.slice(1),
  );
});

test("long cells are wrapped evenly", () => {
  assert.equal(
    textTable(["error"], [["context deadline exceeded while waiting for the leader"]]),
    `
+--------------------------------+
|             ERROR              |
+--------------------------------+
|      context deadline exceeded |
|   while waiting for the leader |
+--------------------------------+
`.slice(1),
  );
});
