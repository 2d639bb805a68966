/** Our etcdctl at our member: watches, leases, locks, elections, mirrors; where output is alike, beside Debian's etcdctl. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { findOnPath, PROJECT_ROOT, skipWithout } from "../support/binaries.ts";
import { type Member, startMember } from "../support/member.ts";
import { runTool, type ToolResult } from "../support/run-tool.ts";
import { RunningTool } from "../support/running-tool.ts";
import { memoryDir } from "../support/temp-dir.ts";
import { waitFor } from "../support/wait.ts";

const OURS = join(PROJECT_ROOT, "bin/etcdctl");
const real = findOnPath("etcdctl");
const noReal = skipWithout("etcdctl", real) ?? false;

/** The programs, at one member. */
class Tools {
  readonly #member: Member;

  constructor(member: Member) {
    this.#member = member;
  }

  run(args: readonly string[], input?: string): Promise<ToolResult> {
    return runTool(process.execPath, this.#words(args), input === undefined ? {} : { input });
  }

  real(args: readonly string[]): Promise<ToolResult> {
    return runTool(real!, [...this.#address, ...args], { env: { ETCDCTL_API: "3" } });
  }

  start(t: TestContext, args: readonly string[]): RunningTool {
    return new RunningTool(t, process.execPath, this.#words(args));
  }

  startReal(t: TestContext, args: readonly string[]): RunningTool {
    return new RunningTool(t, real!, [...this.#address, ...args]);
  }

  async put(key: string, value: string): Promise<void> {
    assert.equal((await this.run(["put", "--", key, value])).stdout, "OK\n");
  }

  #words(args: readonly string[]): string[] {
    return [OURS, ...this.#address, ...args];
  }

  get #address(): string[] {
    return ["--endpoints", this.#member.address];
  }
}

test("etcdctl's long-running commands", { timeout: 180_000 }, async (t) => {
  const member = await startMember(t, { dataDir: memoryDir(t) });
  const tools = new Tools(member);
  await t.test("watch prints a history as the real one does", { skip: noReal }, (s) => sameHistory(s, tools));
  await t.test("watch runs a command with each event, and ends with it", () => execCommand(tools));
  await t.test("watch refuses what it cannot understand", () => refusedWatches(tools));
  await t.test("watch --interactive: several watches, progress, bad lines", (s) => interactive(s, tools));
  await t.test("leases print as the real one does", { skip: noReal }, () => sameLeases(tools));
  await t.test("keep-alive goes on until the lease is revoked", (s) => keepAlive(s, tools));
  await t.test("check perf that is interrupted says what it has seen, and deletes its keys", (s) =>
    perf(s, tools),
  );
  await t.test("lock: one holder at a time, whichever program it is", { skip: noReal }, (s) =>
    locks(s, tools),
  );
  await t.test("lock with a command ends with its exit code", () => lockCommand(tools));
  await t.test("elect: leaders in turn, and --listen sees them", (s) => elections(s, tools));
  await t.test("make-mirror copies keys, then changes, under another prefix", (s) => mirror(s, tools));
});

async function sameHistory(t: TestContext, tools: Tools): Promise<void> {
  await tools.put("history/a", "1");
  await tools.put("history/a", "<&>\n2");
  await tools.run(["del", "history/a"]);
  await tools.put("history/ü\t", "end");
  for (const format of ["simple", "fields", "json"]) {
    const words = ["watch", "history/", "--prefix", "--prev-kv", "--rev", "2", "-w", format];
    const [ours, theirs] = [tools.start(t, words), tools.startReal(t, words)];
    const isComplete = /end|ZW5k/;
    await Promise.all([ours.prints(isComplete), theirs.prints(isComplete)]);
    await Promise.all([ours.interrupt(), theirs.interrupt()]);
    assert.equal(ours.stdout, theirs.stdout, format);
  }
}

async function execCommand(tools: Tools): Promise<void> {
  await tools.put("exec", 'a "quoted" value');
  const print =
    'echo "$ETCD_WATCH_EVENT_TYPE $ETCD_WATCH_KEY $ETCD_WATCH_VALUE"; test $ETCD_WATCH_REVISION -gt 1; exit 3';
  const { code, stdout, stderr } = await tools.run(["watch", "exec", "--rev", "1", "--", "sh", "-c", print]);
  assert.equal(stdout, `PUT\nexec\na "quoted" value\n"PUT" "exec" "a \\"quoted\\" value"\n`);
  assert.match(stderr, /^command \["sh" "-c" .*\] error \(exit status 3\)\n$/);
  assert.equal(code, 1);
}

async function refusedWatches(tools: Tools): Promise<void> {
  const cases: [string[], string][] = [
    [[], "bad number of arguments"],
    [["a", "--"], "bad number of arguments (found separator --, but no commands)"],
    [["a", "b", "--prefix"], "`range_end` and `--prefix` are mutually exclusive"],
  ];
  for (const [args, problem] of cases) {
    const { code, stderr } = await tools.run(["watch", ...args]);
    assert.equal(stderr, `Error: ${problem}\n`);
    assert.equal(code, 128);
  }
}

async function interactive(t: TestContext, tools: Tools): Promise<void> {
  const watch = tools.start(t, ["watch", "-i"]);
  watch.write("nonsense\n\nwatch\nwatch 'i a' --rev 1\nwatch \"i b\" -- echo ran\n");
  await tools.put("i a", "1");
  await watch.prints(/PUT\ni a\n1\n/);
  watch.write("progress\n");
  await watch.prints(/(progress notify: \d+\n){2}/);
  await tools.put("i b", "2");
  await watch.prints(/PUT\ni b\n2\nran\n/);
  watch.write("watch --nope x\n");
  assert.equal(await watch.ended(), 128);
  assert.deepEqual(watch.stderr.split("\n"), [
    "Invalid command nonsense (only support watch)",
    "Invalid command:  (watch and progress supported)",
    "Invalid command watch (command type or key is not provided)",
    "Error: unknown flag: --nope",
    "",
  ]);
}

async function sameLeases(tools: Tools): Promise<void> {
  const granted = await tools.run(["lease", "grant", "500"]);
  const id = /^lease ([0-9a-f]{16}) granted with TTL\(500s\)\n$/.exec(granted.stdout)?.[1] ?? "";
  assert.equal((await tools.run(["put", "--lease", id, "leased", "x"])).stdout, "OK\n");
  const commands = [
    ["lease", "list"],
    ["lease", "timetolive", id, "--keys"],
    ["lease", "keep-alive", "--once", id],
  ];
  const formats = ["simple", "fields", "json"];
  const cases = commands.flatMap((command) => formats.map((format) => [...command, "-w", format]));
  cases.push(["lease", "timetolive", "77"], ["lease", "keep-alive", "--once", "77"], ["alarm", "list"]);
  cases.push(["lease", "grant", "x"], ["lease", "timetolive"], ["lease", "revoke", "zz"]);
  for (const words of cases) {
    const [ours, theirs] = await Promise.all([tools.run(words), tools.real(words)]);
    // A second may pass between the two.
    const even = (text: string) => text.replace(/remaining\(\d+s\)|"ttl":\d+|"TTL" : \d+/, "");
    assert.equal(even(ours.stdout), even(theirs.stdout), words.join(" "));
    assert.equal(ours.code, theirs.code, words.join(" "));
  }
  assert.equal((await tools.run(["lease", "revoke", id])).stdout, `lease ${id} revoked\n`);
  assert.equal((await tools.run(["get", "leased"])).stdout, "");
}

async function keepAlive(t: TestContext, tools: Tools): Promise<void> {
  const id = (await tools.run(["lease", "grant", "2"])).stdout.split(" ")[1];
  const keeper = tools.start(t, ["lease", "keep-alive", id]);
  await keeper.prints(new RegExp(`(lease ${id} keepalived with TTL\\(2\\)\n){3}`));
  await tools.run(["lease", "revoke", id]);
  assert.equal(await keeper.ended(), 0);
  assert.ok(keeper.stdout.endsWith(`lease ${id} expired or revoked.\n`));
}

async function locks(t: TestContext, tools: Tools): Promise<void> {
  const first = tools.start(t, ["lock", "mine"]);
  await first.prints(/^mine\/[0-9a-f]+\n/);
  const second = tools.startReal(t, ["lock", "mine"]);
  const waiting = async () =>
    (await tools.run(["get", "mine/", "--prefix", "--keys-only"])).stdout.trim().split("\n\n");
  while ((await waiting()).length < 2);
  const third = tools.start(t, ["lock", "mine"]);
  while ((await waiting()).length < 3);
  assert.equal(second.stdout + third.stdout, "");
  assert.equal(await first.interrupt(), 0);
  await second.prints(/^mine\//);
  assert.equal(third.stdout, "");
  await second.interrupt();
  await third.prints(/^mine\//);
  assert.equal(await third.interrupt(), 0);
  assert.deepEqual(await waiting(), [""]);
}

async function lockCommand(tools: Tools): Promise<void> {
  const script = 'echo "$ETCD_LOCK_KEY" | cut -d/ -f1; test "$ETCD_LOCK_REV" -gt 1 && exit 7';
  const { code, stdout, stderr } = await tools.run(["lock", "run", "--", "sh", "-c", script]);
  assert.deepEqual({ code, stdout, stderr }, { code: 7, stdout: "run\n", stderr: "Error: exit status 7\n" });
  assert.equal((await tools.run(["get", "run/", "--prefix"])).stdout, "");
}

async function elections(t: TestContext, tools: Tools): Promise<void> {
  const observer = tools.start(t, ["elect", "chief", "-l"]);
  const first = tools.start(t, ["elect", "chief", "one"]);
  await first.prints(/^chief\/[0-9a-f]+\none\n$/);
  await observer.prints(/one\n$/);
  const second = tools.start(t, ["elect", "chief", "two"]);
  while (!(await tools.run(["get", "chief/", "--prefix"])).stdout.includes("two"));
  assert.equal(second.stdout, "");
  assert.equal(await first.interrupt(), 0);
  await second.prints(/two\n$/);
  await observer.prints(/two\n$/);
  assert.equal(await second.interrupt(), 0);
  assert.equal(await observer.interrupt(), 0);
  assert.equal(observer.stdout, first.stdout + second.stdout);
}

async function mirror(t: TestContext, tools: Tools): Promise<void> {
  const destination = await startMember(t, { dataDir: memoryDir(t), name: "m2" });
  const there = new Tools(destination);
  for (let i = 0; i < 3; i++) await tools.put(`from/${i}`, `value ${i}`);
  await tools.put("other", "x");
  tools.start(t, ["make-mirror", destination.address, "--prefix", "from/", "--dest-prefix", "to/"]);
  const copied = async (): Promise<string> => (await there.run(["get", "", "--prefix"])).stdout;
  while (!(await copied()).includes("value 2"));
  await tools.run(["txn"], `\nput from/3 both\ndel from/0\n\n\n`);
  while (!(await copied()).includes("both"));
  assert.equal(await copied(), "to/1\nvalue 1\nto/2\nvalue 2\nto/3\nboth\n");
  // A transaction of the source is one at the destination.
  const json = (await there.run(["get", "to/3", "-w", "json"])).stdout;
  const revision = Number(/"mod_revision":(\d+)/.exec(json)?.[1]);
  assert.equal((await there.run(["get", "to/0", "--rev", String(revision)])).stdout, "");
  assert.equal((await there.run(["get", "to/0", "--rev", String(revision - 1)])).stdout, "to/0\nvalue 0\n");
}

async function perf(t: TestContext, tools: Tools): Promise<void> {
  const count = async (): Promise<number> => {
    const { stdout } = await tools.run(["get", "--prefix", "/perf/", "--count-only", "-w", "fields"]);
    return Number(/"Count" : (\d+)/.exec(stdout)?.[1]);
  };
  const check = tools.start(t, ["check", "perf", "--prefix", "/perf/"]);
  await waitFor("keys of the check", 15_000, async () => ((await count()) > 0 ? true : undefined));
  const code = await check.interrupt();
  assert.match(check.stdout, /Throughput (is|too low:) \d+ writes\/s\n/);
  assert.match(check.stdout, code === 0 ? /\nPASS\n$/ : /\nFAIL\n$/);
  assert.equal(await count(), 0);
}
