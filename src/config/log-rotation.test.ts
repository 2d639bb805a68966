import assert from "node:assert/strict";
import { test } from "node:test";

import { parseLogRotation } from "./log-rotation.ts";

test("fields are read as Go reads them: by any case, null and unknown ones passed over", () => {
  const zero = { maxsize: 0, maxage: 0, maxbackups: 0, localtime: false, compress: false };
  assert.deepEqual(parseLogRotation("{}"), zero);
  assert.deepEqual(parseLogRotation("null"), zero);
  assert.deepEqual(
    parseLogRotation('{"MaxSize": 3, "maxage": null, "compress": true, "other": [], "constructor": 1}'),
    {
      ...zero,
      maxsize: 3,
      compress: true,
    },
  );
});

test("what is no setting is refused with etcd's words", () => {
  const refusals: readonly (readonly [string, string])[] = [
    ["{", "improperly formatted log rotation config: "],
    [
      '{"maxsize": true}',
      "invalid log rotation config: json: cannot unmarshal bool into Go struct field logRotationConfig.Logger.maxsize of type int",
    ],
    [
      '{"maxage": 1.5}',
      "invalid log rotation config: json: cannot unmarshal number 1.5 into Go struct field logRotationConfig.Logger.maxage of type int",
    ],
    [
      '{"compress": "yes"}',
      "invalid log rotation config: json: cannot unmarshal string into Go struct field logRotationConfig.Logger.compress of type bool",
    ],
    [
      "[]",
      "invalid log rotation config: json: cannot unmarshal array into Go value of type embed.logRotationConfig",
    ],
  ];
  for (const [json, text] of refusals) {
    assert.throws(
      () => parseLogRotation(json),
      (error: Error) => error.message.startsWith(text),
      json,
    );
  }
});
