import assert from "node:assert/strict";
import { test } from "node:test";
import { parseFlags } from "../common/flags.ts";
import { readWatchEnvironment, splitWatchWords, WATCH_FLAGS, watchOptions } from "./watch-arguments.ts";

/** The words of a line as key, range end and command, or the error. */
function split(line: string, key = "", rangeEnd = ""): string {
  const { flags: _, ...words } = parseFlags(WATCH_FLAGS, line.split(" ").filter(Boolean));
  try {
    const { keys, command } = splitWatchWords(words, { key, rangeEnd });
    return [...keys, "|", ...command].join(" ");
  } catch (error) {
    return (error as Error).message;
  }
}

test("keys come from the words or from the environment, never from both; a command stands behind two dashes", () => {
  const conflict = "bad number of arguments (found conflicting environment key)";
  assert.equal(split("a"), "a |");
  assert.equal(split("a --rev 1 b"), "a b |");
  assert.equal(split("a -- echo a --rev 3"), "a | echo a --rev 3");
  assert.equal(split("a b --prev-kv -- echo a"), "a b | echo a");
  assert.equal(split("a -- echo -- x"), "a | echo -- x");
  assert.equal(split(""), "bad number of arguments");
  assert.equal(split("-- echo"), "bad number of arguments");
  assert.equal(split("a --"), "bad number of arguments (found separator --, but no commands)");
  assert.equal(split("", "k"), "k |");
  assert.equal(split("--rev 1 -- echo", "k", "m"), "k m | echo");
  assert.equal(split("a", "k"), conflict);
  assert.equal(split("a -- echo", "k"), conflict);
  assert.throws(() => readWatchEnvironment({ ETCDCTL_WATCH_RANGE_END: "m" }), {
    message: 'ETCDCTL_WATCH_KEY is empty but got ETCDCTL_WATCH_RANGE_END="m"',
  });
});

test("flags become fields of the request", () => {
  const { flags } = parseFlags(WATCH_FLAGS, ["--prefix", "--rev", "7", "--prev-kv", "--progress-notify"]);
  const { key, rangeEnd, ...rest } = watchOptions(["ab"], flags);
  assert.deepEqual(
    [key, rangeEnd].map((bytes) => Buffer.from(bytes ?? []).toString()),
    ["ab", "ac"],
  );
  assert.deepEqual(rest, { startRevision: 7n, prevKv: true, progressNotify: true });
  assert.throws(() => watchOptions(["a", "b"], flags), /mutually exclusive/);
});
