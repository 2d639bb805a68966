import assert from "node:assert/strict";
import { test } from "node:test";
import { ProgressBar } from "./progress-bar.ts";

test("a bar shows part, amounts and speed; without a total only what is done", () => {
  const bar = new ProgressBar({ total: 4, format: (amount) => `${amount}x` }, false);
  bar.add(1);
  assert.match(bar.line(), /^1x \/ 4x \[={10} {30}\] 25\.0% {2}\d+x\/s {2}0s$/);
  bar.add(9);
  assert.match(bar.line(), /\[={40}\] 100\.0%/);
  const open = new ProgressBar({}, false);
  open.add(3);
  assert.match(open.line(), /^3 {2}\d+\/s {2}0s$/);
});
