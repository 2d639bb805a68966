/** What is built from these sources, in folders of its own: members inside a process, the programs, and when a checkout runs it. */
import assert from "node:assert/strict";
import {
  appendFileSync,
  cpSync,
  existsSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { createRequire } from "node:module";
import { join, resolve } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";
import { execFile } from "node:child_process";
import { tempDir } from "../support/temp-dir.ts";

const run = promisify(execFile);

const PROGRAM = `
import { connect, startMember } from "concord";
const member = await startMember({ dataDir: "data" }).ready;
const etcd = await connect(member.endpoint);
const watch = etcd.watch("key");
await watch.started;
await etcd.put("key", "value");
for await (const { entry } of watch) {
  console.log(entry.key, entry.value, (await etcd.get("key")).value);
  break;
}
await etcd.close();
await member.stop();
`;

test("the built package starts members on disk, with a client and a watch, and its programs run", async (t) => {
  const folder = tempDir(t, "package");
  const node = process.execPath;
  const tsc = resolve("node_modules/typescript/bin/tsc");
  await run(node, ["scripts/bundle.ts", join(folder, "dist")]);
  await run(node, [tsc, "-p", "tsconfig.build.json", "--outDir", join(folder, "dist")]);
  assert.ok(existsSync(join(folder, "dist/src/index.d.ts")));
  for (const name of ["package.json", "bin"]) cpSync(name, join(folder, name), { recursive: true });
  symlinkSync(resolve("node_modules"), join(folder, "node_modules"));
  writeFileSync(join(folder, "program.mjs"), PROGRAM);
  const { stdout } = await run(node, ["program.mjs"], { cwd: folder });
  assert.equal(stdout, "key value value\n");
  const required = await run(node, ["-p", 'typeof require("concord").startMember'], { cwd: folder });
  assert.equal(required.stdout, "function\n");
  for (const [name, first] of [
    ["etcd", /^etcd Version: 3\.6/],
    ["etcdctl", /^etcdctl version: 3\.6/],
    ["etcdutl", /^etcdutl version: 3\.6/],
  ] as const) {
    const args = [join(folder, "bin", name), name === "etcd" ? "--version" : "version"];
    assert.match((await run(node, args)).stdout, first);
  }
});

test("log lines of built programs name the sources that wrote them", async (t) => {
  const folder = tempDir(t, "callers");
  await run(process.execPath, ["scripts/bundle.ts", join(folder, "dist")]);
  for (const name of ["package.json", "node_modules"]) symlinkSync(resolve(name), join(folder, name));
  // An address that no machine has: main, and what it refuses to start with, write some lines.
  const flags = ["--data-dir", join(folder, "data"), "--listen-client-urls", "http://192.0.2.1:1"];
  const callers = async (program: string): Promise<string[]> => {
    const script = `import(${JSON.stringify(program)}).then(async ({ main }) => process.exit(await main()))`;
    const args = ["-e", script, "etcd", ...flags, "--advertise-client-urls", "http://192.0.2.1:1"];
    const { stderr } = await run(process.execPath, args).catch((error: { stderr: string }) => error);
    const lines = stderr.trim().split("\n");
    return lines.map((line) => (JSON.parse(line) as { caller: string }).caller);
  };
  const built = await callers(join(folder, "dist/src/cli/etcd/etcd.js"));
  assert.deepEqual(built, await callers(resolve("src/cli/etcd/etcd.ts")));
  assert.match(built.at(-1) ?? "", /^etcd\/etcd\.ts:\d+$/);
});

/** What a checkout has, but for what no build reads. */
const CHECKOUT = ["bin", "src", "workers", "scripts", "package.json", "package-lock.json", "tsconfig.json"];

test("a checkout runs what was built from its sources as they are, and the sources otherwise", async (t) => {
  const root = tempDir(t, "checkout");
  for (const name of CHECKOUT) cpSync(name, join(root, name), { recursive: true, preserveTimestamps: true });
  const { findProgram } = createRequire(join(root, "bin/etcd"))("./launch.js") as {
    findProgram: (tool: string) => string;
  };
  const built = (tool: string): boolean =>
    findProgram(tool) === join(root, `dist/src/cli/${tool}/${tool}.js`);
  const prepare = async (): Promise<string> =>
    (await run(process.execPath, [join(root, "scripts/prepare.cjs")])).stdout;

  // As after `npm ci --omit=dev`.
  assert.match(await prepare(), /^dist\/ was not built, .*development dependencies are not installed\n$/);
  assert.equal(findProgram("etcd"), join(root, "src/cli/etcd/etcd.ts"));

  symlinkSync(resolve("node_modules"), join(root, "node_modules"));
  assert.equal(await prepare(), "");
  assert.deepEqual(["etcd", "etcdctl", "etcdutl"].map(built), [true, true, true]);
  const made = statSync(join(root, "dist")).ino;
  assert.equal(await prepare(), "");
  assert.equal(statSync(join(root, "dist")).ino, made, "what is fresh is not built again");

  // A thread's file is the server's, and no tool's.
  appendFileSync(join(root, "src/raft/raft-loop.ts"), "// edited");
  assert.deepEqual(["etcd", "etcdctl", "etcdutl"].map(built), [false, true, true]);
  await prepare();
  assert.ok(built("etcd"));

  const command = join(root, "src/cli/etcdctl/commands/get.ts");
  utimesSync(command, 1e9, 1e9); // an older file in the place of a newer one
  assert.deepEqual(["etcd", "etcdctl"].map(built), [true, false]);
  await prepare();
  assert.ok(built("etcdctl"));
  rmSync(command);
  assert.ok(!built("etcdctl"));
  const failed = await prepare();
  assert.match(failed, /^dist\/ was not built, .*`npm run build` fails/);
  assert.deepEqual(["etcd", "etcdctl"].map(built), [true, false], "a build that fails changes nothing");
});
