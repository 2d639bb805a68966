import assert from "node:assert/strict";
import { test } from "node:test";
import { ProgressLine } from "./progress-line.ts";

function capture(isTTY: boolean) {
  const written: string[] = [];
  let nowMs = 0;
  const output = { isTTY, columns: 20, write: (text: string) => written.push(text) };
  const line = new ProgressLine(output, () => nowMs);
  return { written, line, wait: (ms: number) => void (nowMs += ms) };
}

test("a terminal has one line that is drawn again, cut to its width; notes stay above it", () => {
  const { written, line } = capture(true);
  line.show("one");
  line.show("a state that is far too long");
  line.note("a note");
  line.show("two");
  line.finish();
  assert.deepEqual(written, [
    "\rone\x1b[K",
    "\ra state that is far\x1b[K",
    "\ra note\x1b[K\n",
    "\rtwo\x1b[K",
    "\n",
  ]);
});

test("elsewhere a line comes now and then, without control characters", () => {
  const { written, line, wait } = capture(false);
  line.show("one");
  wait(9_999);
  line.show("two");
  wait(1);
  line.show("three");
  line.note("a note");
  line.finish();
  assert.deepEqual(written, ["one\n", "three\n", "a note\n"]);
});
