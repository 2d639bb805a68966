/** etcdctl's downgrade commands against a member of ours: outputs and exit codes are those of etcdctl 3.6, which PATH need not have. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { PROJECT_ROOT } from "../support/binaries.ts";
import { startMember } from "../support/member.ts";
import { runTool } from "../support/run-tool.ts";
import { waitFor } from "../support/wait.ts";

test("a downgrade is validated, enabled and cancelled", { timeout: 120_000 }, async (t) => {
  const member = await startMember(t, { dataDir: ":memory:" });
  const etcdctl = (...words: string[]) =>
    runTool(process.execPath, [
      join(PROJECT_ROOT, "bin", "etcdctl"),
      "--endpoints",
      member.address,
      "downgrade",
      ...words,
    ]);
  const succeeds = async (words: string[], expected: string): Promise<void> => {
    const { code, stdout, stderr } = await etcdctl(...words);
    assert.deepEqual({ code, stdout }, { code: 0, stdout: expected }, stderr);
  };
  const fails = async (words: string[], code: number, reason: string): Promise<void> => {
    const result = await etcdctl(...words);
    assert.equal(result.code, code, words.join(" "));
    assert.ok(result.stderr.endsWith(`Error: ${reason}\n`), result.stderr);
  };
  // The cluster's version is known a moment after the member serves.
  await waitFor("a cluster version", 30_000, async () =>
    (await etcdctl("validate", "3.5")).code === 0 ? true : undefined,
  );
  await succeeds(["validate", "3.5"], "Downgrade validate success, cluster version 3.6\n");
  await fails(["validate"], 128, "TARGET_VERSION not provided");
  await fails(["enable", "3.5", "3.4"], 128, "too many arguments");
  await fails(["enable", "x"], 1, "etcdserver: wrong downgrade target version format");
  await fails(["enable", "3.3"], 1, "etcdserver: invalid downgrade target version");
  await fails(["validate", "3.5", "-w", "fields"], 4, "fields not supported as output format");
  await succeeds(["enable", "3.5"], "Downgrade enable success, cluster version 3.6\n");
  // The leader may have followed it meanwhile.
  const { code, stdout } = await etcdctl("cancel", "-w", "json");
  assert.equal(code, 0);
  assert.match((JSON.parse(stdout) as { version: string }).version, /^3\.[56]$/);
});
