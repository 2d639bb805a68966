/** The program as a process: launcher, exit codes, what is on stdout and stderr. Members themselves: test/e2e. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";

import { SERVER_VERSION } from "../../base/version.ts";

const ETCD = fileURLToPath(new URL("../../../bin/etcd", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "concord-etcd-"));
after(() => rmSync(folder, { recursive: true }));

interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

function run(program: string, words: readonly string[], env: Record<string, string> = {}): Ended {
  const options = {
    encoding: "utf8",
    cwd: folder,
    env: { PATH: process.env["PATH"] ?? "", ...env },
  } as const;
  const { status, stdout, stderr } = spawnSync(program, words, options);
  // A program that is not there has no output at all.
  return { code: status, stdout: stdout ?? "", stderr: stderr ?? "" };
}

function runEtcd(words: readonly string[], env: Record<string, string> = {}): Ended {
  return run(process.execPath, [ETCD, ...words], { HOME: folder, ...env });
}

test("all ways to start the server give V8 the same threads", () => {
  const [first] = readFileSync(ETCD, "utf8").split("\n");
  const { scripts } = JSON.parse(readFileSync(join(ETCD, "../../package.json"), "utf8")) as {
    scripts: { start: string };
  };
  assert.equal(first, "#!/usr/bin/env -S node --v8-pool-size=0");
  assert.equal(scripts.start, "node --v8-pool-size=0 bin/etcd");
  // As npm's links to it do.
  const { code, stdout } = run(ETCD, ["--version"], {
    PATH: `${dirname(process.execPath)}:${process.env["PATH"]}`,
  });
  assert.deepEqual([code, stdout.split("\n")[0]], [0, `etcd Version: ${SERVER_VERSION}`]);
});

test("--version goes to stdout", () => {
  const { code, stdout, stderr } = runEtcd(["--version"]);
  assert.deepEqual([code, stdout.split("\n")[0], stderr], [0, `etcd Version: ${SERVER_VERSION}`, ""]);
});

test("a bad command line ends with code 2 and the usage", () => {
  const { code, stdout, stderr } = runEtcd(["--foo"]);
  assert.deepEqual([code, stdout], [2, ""]);
  assert.match(stderr, /^flag provided but not defined: -foo\nUsage:\n/);
});

test("flags that contradict each other end with code 1 and etcd's log lines", () => {
  const { code, stdout, stderr } = runEtcd(["--heartbeat-interval=500"]);
  assert.deepEqual([code, stdout], [1, ""]);
  const lines = stderr
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as Record<string, string>);
  assert.deepEqual(lines.at(-2)?.["msg"], "Running: ");
  assert.deepEqual(lines.at(-1)?.["msg"], "failed to verify flags");
  assert.equal(lines.at(-1)?.["level"], "warn");
  // The file is `options.ts` in the sources, and the program's one in a build.
  for (const line of lines) assert.match(line["caller"], /^etcd\/(options\.ts|etcd\.js):\d+$/);
});

test("a log file that cannot be opened ends the start with its name", () => {
  const { code, stderr } = runEtcd(["--log-outputs=/nonexistent/x.log"]);
  assert.equal(code, 1);
  assert.match(stderr, /\/nonexistent\/x\.log/);
});

test("an older Node is told which one is needed, and how to get it", () => {
  const preload = join(folder, "old-node.cjs");
  const asOld =
    'Object.defineProperty(process, "versions", { value: { ...process.versions, node: "20.1.0" } });';
  writeFileSync(preload, `${asOld}\nObject.defineProperty(process, "version", { value: "v20.1.0" });\n`);
  const { code, stderr } = run(process.execPath, ["--require", preload, ETCD, "--version"]);
  assert.equal(code, 1);
  assert.match(stderr, /^etcd needs Node\.js 24 or later, but this is Node\.js v20\.1\.0 \(.*\)\.\n/);
  assert.match(stderr, /npm ci/);
});

test("compiled code is kept in the user's cache, and not where others can write", () => {
  const cache = join(folder, "cache");
  runEtcd(["--version"], { XDG_CACHE_HOME: cache, TMPDIR: folder });
  assert.equal(readdirSync(join(cache, "concord")).length, 1);
  const open = join(folder, "open");
  mkdirSync(join(open, "concord"), { recursive: true });
  chmodSync(join(open, "concord"), 0o777);
  assert.equal(runEtcd(["--version"], { XDG_CACHE_HOME: open, TMPDIR: folder }).code, 0);
  assert.deepEqual(readdirSync(join(open, "concord")), []);
});

test("an unusable cache folder is no error", () => {
  const file = join(folder, "file");
  writeFileSync(file, "");
  const { code, stderr } = runEtcd(["--version"], { XDG_CACHE_HOME: file, TMPDIR: file });
  assert.deepEqual([code, stderr], [0, ""]);
});

const REAL_ETCD = run("etcd", ["--version"]).stdout.startsWith("etcd Version: ") ? "etcd" : undefined;

test(
  "Go's complaints about a command line, compared with the etcd on PATH",
  { skip: REAL_ETCD === undefined },
  () => {
    for (const words of [
      ["--foo"],
      ["--name"],
      ["---x"],
      ["--=x"],
      ["--heartbeat-interval=x"],
      ["--heartbeat-interval", "-1"],
      ["--quota-backend-bytes=1e3"],
      ["--quota-backend-bytes=9223372036854775808"],
      ["--grpc-keepalive-min-time=5"],
      ["-unsafe-no-fsync=maybe"],
      ["--initial-cluster-state=x"],
      ["--listen-client-urls=127.0.0.1:1"],
      ["--listen-client-urls=http://127.0.0.1:1/x"],
      ["--listen-peer-urls=ftp://127.0.0.1:1"],
    ]) {
      const [ours, theirs] = [runEtcd(words), run(REAL_ETCD as string, words)];
      assert.deepEqual(
        [ours.code, ours.stderr.split("\n")[0]],
        [theirs.code, theirs.stderr.split("\n")[0]],
        words.join(" "),
      );
    }
  },
);
