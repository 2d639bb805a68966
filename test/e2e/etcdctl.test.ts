/** Our etcdctl beside the real one, against a real etcd: the same words, the same output, the same exit code. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { missingEtcd, RealEtcd, type RunOptions } from "./etcdctl-fixture.ts";

/** Words, and what else the run gets. */
type Case = readonly [words: string[], options?: RunOptions];

/** Runs at a time: as many as keep two cores busy. */
const RUNS_AT_ONCE = 4;

describe("etcdctl", { skip: missingEtcd() }, () => {
  let etcd: RealEtcd;
  before(async () => {
    etcd = await RealEtcd.start();
    const values: [string, string][] = [
      ["a", "1"],
      ["a", "<&> 2"],
      ["a1", "multi\nline"],
      ["b", ""],
      ['k\t"q"', "ü"],
    ];
    for (const [key, value] of values) assert.equal((await etcd.ours(["put", key, value])).stdout, "OK\n");
  });
  after(() => etcd.stop());

  async function assertSame(cases: readonly Case[]): Promise<void> {
    const rest = [...cases];
    const worker = async (): Promise<void> => {
      for (let next = rest.shift(); next !== undefined; next = rest.shift()) {
        const [args, options] = next;
        const [ours, real] = await Promise.all([etcd.ours(args, options), etcd.real(args, options)]);
        const where = `${args.join(" ")} ${JSON.stringify(options ?? {})}`;
        assert.equal(ours.stdout, real.stdout, `stdout of ${where}`);
        assert.equal(errorLines(ours.stderr), errorLines(real.stderr), `stderr of ${where}`);
        assert.equal(ours.code, real.code, `exit code of ${where}`);
      }
    };
    await Promise.all(Array.from({ length: RUNS_AT_ONCE }, worker));
  }

  test("reads print the same in every format", async () => {
    const reads = [
      ["get", "", "--prefix"],
      [
        "get",
        "a",
        "c",
        "--sort-by",
        "modify",
        "--order=descend",
        "--limit",
        "2",
        "--rev",
        "4",
        "--consistency",
        "s",
      ],
    ];
    const formats = ["simple", "fields", "json", "protobuf"];
    await assertSame([
      ...reads.flatMap((read) => formats.map((format): Case => [[...read, "-w", format]])),
      [["get", "missing", "-w", "json"]],
      [["get", "a", "--prefix", "--keys-only"]],
      [["get", "", "--from-key", "--hex"]],
      [["get", "a", "--print-value-only"]],
    ]);
  });

  test("members and tables print the same", async () => {
    const formats = ["simple", "json", "table"];
    await assertSame([
      ...formats.map((format): Case => [["member", "list", "-w", format]]),
      [["get", "a", "-w", "table"]],
    ]);
  });

  test("changes of members and leader that are refused are refused in the same words", async () => {
    await assertSame([
      [["member", "add"]],
      [["member", "add", "x"]],
      [["member", "add", "x", "http://a:1", "y"]],
      [["member", "add", "x", "--peer-urls=http://a"]],
      [["member", "add", "x", "--peer-urls="]],
      [["member", "remove"]],
      [["member", "remove", "zz"]],
      [["member", "remove", "1"]],
      [["member", "update", "1"]],
      [["member", "update", "1", "--peer-urls=http://a:1/"]],
      [["member", "update", "1", "--peer-urls=http://a:1"]],
      [["member", "promote", "1"]],
      [["move-leader"]],
      [["move-leader", "zz"]],
      [["move-leader", "11111111111111111"]],
      [["move-leader", "1"]],
      [["move-leader", "1", "-w", "fields"]],
    ]);
  });

  test("a learner that is added and removed prints the same, but for its id", async () => {
    // The id is made of the URLs and the second: with equal ones it would be that of a removed member.
    const hosts = ["127.0.0.3", "127.0.0.4"];
    const listed = async (): Promise<string> => (await etcd.real(["member", "list"])).stdout;
    const outputs: string[][] = [];
    const programs = [(words: string[]) => etcd.ours(words), (words: string[]) => etcd.real(words)];
    for (const [i, run] of programs.entries()) {
      const host = hosts[i];
      const add = ["member", "add", "new", "--learner", `--peer-urls=http://${host}:9,http://${host}:10`];
      const added = await run(add);
      const id = /^([0-9a-f]+), unstarted/m.exec(await listed())?.[1] ?? "";
      const url = ["--peer-urls", "http://127.0.0.1:11"];
      const updated = await run(["member", "update", id, ...url]);
      const removed = await run(["member", "remove", id]);
      // Members are listed by id, and an id may be shorter.
      assert.deepEqual([added.stderr, updated.stderr, removed.stderr], ["", "", ""]);
      const lines = [added, updated, removed].flatMap(({ stdout }) => stdout.split("\n"));
      outputs.push(
        lines
          .map((line) => line.replace(id, "id").replace(/ +id/, " id").replaceAll(host, "host"))
          // As etcdctl 3.6 does, and 3.4 does not.
          .map((line) => line.replace(" added as learner to ", " added to "))
          .map((line) =>
            line.startsWith("ETCD_INITIAL_CLUSTER=") ? line.split(/[",]/).sort().join() : line,
          ),
      );
    }
    assert.deepEqual(outputs[0], outputs[1]);
  });

  test("what is wrong is said in the same words, with the same exit code", async () => {
    await assertSame([
      [["put", "a"]],
      [["put", "a", "b", "--lease", "zz"]],
      [["put", "a", "b", "--lease", "1234"]],
      [["put", "", "b"]],
      [["get", "a", "--prefix", "--from-key"]],
      [["get", "a", "--rev", "1000"]],
      [["get", "a", "-w", "bogus"]],
      [["get", "a", "--cert="]],
      [["compaction", "1000"]],
      [["txn"], { input: "\n\nput a b" }],
      [["txn"], { input: 'ver("a") = "x"\n\n\n\n' }],
      [["txn"], { input: "\nfoo a\n\n\n" }],
      [["txn"], { input: "\nput a b\nput a c\n\n\n" }],
    ]);
  });

  test("writes print what they did, and the previous key if asked to", async () => {
    const put = (...args: string[]) => etcd.ours(["put", ...args]);
    assert.deepEqual(await put("w", "1"), { code: 0, stdout: "OK\n", stderr: "" });
    assert.equal((await put("w", "2", "--prev-kv")).stdout, "OK\nw\n1\n");
    assert.equal(
      (await etcd.ours(["put", "w", "--hex", "--prev-kv"], { input: "x\n" })).stdout,
      "OK\n\\x77\n\\x32\n",
    );
    assert.equal((await etcd.real(["get", "w"])).stdout, "w\nx\n\n");
    assert.equal((await etcd.ours(["del", "w", "x", "--range", "--prev-kv"])).stdout, "1\nw\nx\n\n");
    assert.equal((await etcd.real(["get", "w"])).stdout, "");
  });

  test("a value of any bytes goes in by stdin and comes out again", async () => {
    const value = Uint8Array.from({ length: 256 }, (_, i) => i);
    assert.equal((await etcd.ours(["put", "bytes"], { input: value })).stdout, "OK\n");
    const both = await Promise.all([etcd.ours(["get", "bytes"]), etcd.real(["get", "bytes"])]);
    for (const run of both) assert.equal(run.stdout, `bytes\n${Buffer.from(value).toString("latin1")}\n`);
  });

  test("a transaction takes the branch its conditions choose", async () => {
    const input = 'val("t") = "x"\n\nput t no\n\nput t "a b"\nget t\n\n';
    const failure = await etcd.ours(["txn", "-i"], { input });
    const prompts = "compares:\nsuccess requests (get, put, del):\nfailure requests (get, put, del):\n";
    assert.deepEqual(failure, { code: 0, stdout: `${prompts}FAILURE\n\nOK\n\nt\na b\n`, stderr: "" });
    const success = await etcd.ours(["txn"], {
      input: 'ver("t") > "0"\nmod("t") != "1"\n\ndel --prev-kv t\n\n\n',
    });
    assert.equal(success.stdout, "SUCCESS\n\n1\nt\na b\n");
  });

  test("a transaction's JSON names the kind of each response", async () => {
    const { stdout } = await etcd.ours(["txn", "-w", "json"], { input: "\nput j 1\ndel nothing\n\n\n" });
    const shape = stdout.replace(/:\d+/g, ":0");
    assert.equal(
      shape,
      '{"header":{"cluster_id":0,"member_id":0,"revision":0,"raft_term":0},"succeeded":true,"responses":[' +
        '{"Response":{"response_put":{"header":{"revision":0}}}},' +
        '{"Response":{"response_delete_range":{"header":{"revision":0}}}}]}\n',
    );
  });

  test("health and status name the endpoint", async () => {
    const health = await etcd.ours(["endpoint", "health"]);
    assert.match(health.stdout, / is healthy: successfully committed proposal: took = [\d.]+m?s\n$/);
    const status = await etcd.ours(["endpoint", "status", "--cluster"]);
    assert.equal(status.stdout.split(", ").length, 16);
    assert.ok(status.stdout.startsWith(`http://${etcd.endpoint}, `));
    const dead = ["--endpoints", "127.0.0.1:1", "--command-timeout", "300ms", "endpoint", "health"];
    const unhealthy = await etcd.ours(dead, { withoutEndpoint: true });
    assert.equal(unhealthy.code, 1);
    const lines =
      "127.0.0.1:1 is unhealthy: failed to commit proposal: context deadline exceeded\nError: unhealthy cluster\n";
    assert.equal(errorLines(unhealthy.stderr), lines);
  });

  test("the environment sets flags, and may not contradict them", async () => {
    const env = { ETCDCTL_ENDPOINTS: etcd.endpoint, ETCDCTL_WRITE_OUT: "fields" };
    const set = await etcd.ours(["get", "missing"], { env, withoutEndpoint: true });
    assert.match(set.stdout, /^"ClusterID" : \d+\n/);
    const both = await etcd.ours(["get", "missing"], { env });
    assert.equal(both.code, 1);
    assert.match(
      both.stderr,
      /conflicting environment variable is shadowed by corresponding command-line flag/,
    );
    const unknown = await etcd.ours(["get", "missing"], { env: { ETCDCTL_BOGUS: "1" } });
    assert.equal(unknown.code, 0);
    assert.match(
      unknown.stderr,
      /"msg":"unrecognized environment variable","environment-variable":"ETCDCTL_BOGUS=1"/,
    );
  });

  test("words that name no command, and help", async () => {
    const bare = { withoutEndpoint: true };
    const bogus = await etcd.ours(["bogus"], bare);
    const text = `Error: unknown command "bogus" for "etcdctl"\nRun 'etcdctl --help' for usage.\n`;
    assert.deepEqual(bogus, { code: 1, stdout: "", stderr: text });
    const flag = await etcd.ours(["get", "--bogus"], bare);
    assert.equal(flag.code, 1);
    assert.equal(flag.stderr, "Error: unknown flag: --bogus\n\n");
    assert.match(flag.stdout, /^NAME:\n {2}get - /);
    const help = await etcd.ours(["help", "endpoint"], bare);
    assert.equal(help.code, 0);
    assert.match(help.stdout, /\nCOMMANDS:\n {2}hashkv\t/);
    assert.match((await etcd.ours(["v"], bare)).stdout, /^etcdctl version: 3\.6\.\d+\nAPI version: 3\.6\n$/);
  });
});

/** Without the log lines of the client libraries. */
function errorLines(stderr: string): string {
  return stderr
    .split("\n")
    .filter((line) => !line.startsWith("{"))
    .join("\n");
}
