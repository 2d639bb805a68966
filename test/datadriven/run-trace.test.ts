import assert from "node:assert/strict";
import { test } from "node:test";
import { runTrace } from "./run-trace.ts";
import { parseTrace } from "./trace-case.ts";
import { TraceError, type Vocabulary } from "./vocabulary.ts";

/** `say` puts out its arguments, its input, and how many cases ran before; `fail` cannot be run. */
const PARROT: Vocabulary = {
  name: "parrot",
  commands: ["say", "fail"],
  begin() {
    let count = 0;
    return ({ command, args, input }) => {
      if (command === "fail") throw new TraceError("cannot be run");
      const words = args.map(({ key, values }) => [key, ...values].join(":"));
      return [...words, ...(input === "" ? [] : [input]), String(count++)].join("\n");
    };
  },
};

function failureOf(text: string): string | null {
  return runTrace(text, [PARROT], { rewrite: false }).failure;
}

test("arguments, input, comments and joined lines are read as the format says", () => {
  const text = [
    "# A comment.",
    "say a b=1 c=(2, (3,4)) \\",
    "  d=",
    "first line",
    "",
    "third line",
    "----",
    "out",
    "",
    "say",
    "----",
  ].join("\n");
  const [first, second] = parseTrace(text).cases;
  assert.deepEqual(first.args, [
    { key: "a", values: [] },
    { key: "b", values: ["1"] },
    { key: "c", values: ["2", "(3,4)"] },
    { key: "d", values: [""] },
  ]);
  assert.equal(first.input, "first line\n\nthird line");
  assert.deepEqual([first.line, first.expected, second.expected], [2, "out\n", ""]);
});

test("the first output that differs fails the trace, with what was expected and what was found", () => {
  assert.equal(failureOf("say hello\n----\nhello\n0\n\nsay\n----\n1\n"), null);
  assert.match(failureOf("say hello\n----\nhello\n7\n") ?? "", /line 1: say\n.*\n {2}hello\n- 7\n\+ 0/s);
  assert.match(failureOf("say\n----\n0\n\nsay\n----\n") ?? "", /line 5: say\n.*\n\+ 1/s);
  assert.match(failureOf("say\n----\n0\n\nfail\n----\n") ?? "", /line 5: fail\n.*cannot be run/s);
});

test("a file without cases, and one of unknown commands, fail", () => {
  assert.equal(failureOf("# nothing\n"), "no case");
  assert.equal(failureOf("sing\n----\n"), "unknown commands");
  assert.throws(() => parseTrace("say\nno separator\n"), /line 1: no ----/);
});

test("output with blank lines stands between doubled separators", () => {
  const text = "say\na\n\nb\n----\n----\na\n\nb\n0\n----\n----\n\nsay\n----\n1\n";
  assert.equal(failureOf(text), null);
  assert.match(failureOf(text.replace("b\n0", "c\n0")) ?? "", /- c\n\+ b/);
});

test("rewriting changes what is expected and nothing else", () => {
  const right =
    "# Top.\n\nsay a\n----\na\n0\n\n# Between.\nsay\nx\n\ny\n----\n----\nx\n\ny\n1\n----\n----\n\nsay b\n----\nb\n2\n";
  const wrong = "# Top.\n\nsay a\n----\n\n# Between.\nsay\nx\n\ny\n----\nold\n\nsay b\n----\nb\n2\n";
  for (const text of [right, wrong]) {
    assert.equal(runTrace(text, [PARROT], { rewrite: true }).rewritten, right);
  }
});
