/** What is published, built from these sources in a folder of its own: members inside a process, and the programs. */
import assert from "node:assert/strict";
import { cpSync, symlinkSync, writeFileSync } from "node:fs";
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
  await run(node, [tsc, "-p", "tsconfig.build.json", "--outDir", join(folder, "dist")]);
  await run(node, ["scripts/bundle.ts", join(folder, "dist")]);
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
