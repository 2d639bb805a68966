import assert from "node:assert/strict";
import { test } from "node:test";
import { type CommandEntry, findCommand, suggestNames } from "./command.ts";
import { type FlagSpec, parseFlags } from "./flags.ts";

const SPECS: readonly FlagSpec[] = [
  { name: "endpoints", type: "strings", default: ["default"], help: "" },
  { name: "write-out", short: "w", type: "string", default: "simple", help: "" },
  { name: "prefix", type: "bool", default: false, help: "" },
  { name: "interactive", short: "i", type: "bool", default: false, help: "" },
  { name: "limit", type: "int64", default: 0n, help: "" },
  { name: "timeout", type: "duration", default: 5n, help: "" },
];

test("flags and arguments come in any order", () => {
  const { flags, args } = parseFlags(SPECS, [
    "a",
    "--limit",
    "-1",
    "--prefix",
    "b",
    "-w",
    "json",
    "--timeout=1m",
  ]);
  assert.deepEqual(args, ["a", "b"]);
  assert.equal(flags.int64("limit"), -1n);
  assert.equal(flags.bool("prefix"), true);
  assert.equal(flags.string("write-out"), "json");
  assert.equal(flags.duration("timeout"), 60_000_000_000n);
  assert.equal(flags.changed("interactive"), false);
});

test("short flags take their value attached, after = or as the next word", () => {
  for (const words of [["-wjson"], ["-w=json"], ["-w", "json"], ["-iwjson"], ["--write-out=json"]]) {
    assert.equal(parseFlags(SPECS, words).flags.string("write-out"), "json", words.join(" "));
  }
});

test("a bool takes a value only after =", () => {
  const { flags, args } = parseFlags(SPECS, ["--prefix=false", "--interactive", "false"]);
  assert.equal(flags.bool("prefix"), false);
  assert.equal(flags.bool("interactive"), true);
  assert.deepEqual(args, ["false"]);
});

test("after -- all words are arguments", () => {
  assert.deepEqual(parseFlags(SPECS, ["k", "--", "--prefix", "-w"]).args, ["k", "--prefix", "-w"]);
});

test("a list given twice is one list, without the default", () => {
  assert.deepEqual(parseFlags(SPECS, []).flags.strings("endpoints"), ["default"]);
  assert.deepEqual(parseFlags(SPECS, ["--endpoints=a,b", "--endpoints", "c"]).flags.strings("endpoints"), [
    "a",
    "b",
    "c",
  ]);
});

test("problems have pflag's words", () => {
  const cases: [string[], string][] = [
    [["--bogus"], "unknown flag: --bogus"],
    [["--bogus=1", "x"], "unknown flag: --bogus"],
    [["-z"], "unknown shorthand flag: 'z' in -z"],
    [["-izq"], "unknown shorthand flag: 'z' in -zq"],
    [["--limit"], "flag needs an argument: --limit"],
    [["-w"], "flag needs an argument: 'w' in -w"],
    [["--limit=x"], 'invalid argument "x" for "--limit" flag: strconv.ParseInt: parsing "x": invalid syntax'],
    [
      ["--prefix=maybe"],
      'invalid argument "maybe" for "--prefix" flag: strconv.ParseBool: parsing "maybe": invalid syntax',
    ],
    [["--timeout=5"], 'invalid argument "5" for "--timeout" flag: time: missing unit in duration "5"'],
  ];
  for (const [words, message] of cases) {
    assert.throws(() => parseFlags(SPECS, words), { message }, words.join(" "));
  }
});

const TOOL: CommandEntry = {
  name: "tool",
  summary: "",
  inheritedFlags: SPECS,
  commands: [
    { name: "get", summary: "" },
    { name: "endpoint", summary: "", commands: [{ name: "status", summary: "" }] },
    { name: "elect", summary: "" },
  ],
};

test("words find their command, also behind flags and by unique beginnings", () => {
  const find = (...words: string[]) => {
    const { path, args } = findCommand(TOOL, words);
    return [path.map((entry) => entry.name).join(" "), args];
  };
  assert.deepEqual(find("get", "a"), ["tool get", ["a"]]);
  assert.deepEqual(find("-w", "json", "g", "a"), ["tool get", ["-w", "json", "a"]]);
  assert.deepEqual(find("--prefix", "en", "--limit=1", "st"), [
    "tool endpoint status",
    ["--prefix", "--limit=1"],
  ]);
  assert.deepEqual(find("e"), ["tool", ["e"]]);
  assert.deepEqual(find("endpoint", "bogus"), ["tool endpoint", ["bogus"]]);
  assert.deepEqual(find("--", "get"), ["tool", ["--", "get"]]);
});

test("suggestions are close names and those that begin so", () => {
  assert.deepEqual(suggestNames(TOOL.commands!, "gte"), ["get"]);
  assert.deepEqual(suggestNames(TOOL.commands!, "e"), ["get", "endpoint", "elect"]);
  assert.deepEqual(suggestNames(TOOL.commands!, "bogus"), []);
});
