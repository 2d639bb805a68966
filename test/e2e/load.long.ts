/** `npm run load`: each scenario, short, and what it says when it cannot hold or cannot go on. */
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { PROJECT_ROOT } from "../support/binaries.ts";
import { startMember } from "../support/member.ts";
import { runTool, type ToolResult } from "../support/run-tool.ts";
import { RunningTool } from "../support/running-tool.ts";
import { tempDir } from "../support/temp-dir.ts";
import { waitFor } from "../support/wait.ts";

const SCRIPT = join(PROJECT_ROOT, "load-tests/load.ts");

/** Longer than any of these runs takes on a loaded machine. */
const RUN_MS = 180_000;

function load(words: string): Promise<ToolResult> {
  return runTool(process.execPath, [SCRIPT, ...words.split(" ")], { timeoutMs: RUN_MS });
}

describe("npm run load", () => {
  test("soak: samples, a drawing, and no verdict after a few seconds", async () => {
    const { code, stdout, stderr } = await load("soak --minutes 0.2 --rate 100 --members 3");
    assert.equal(code, 0, stdout + stderr);
    assert.match(stdout, /^NOT JUDGED {2}memory and latency/m);
    assert.match(stdout, /^passed {2}every request answered, every change told to every watcher once/m);
    const name = /(load-tests\/results\/tmp\/soak-\S+)\.\{csv,svg,json\}/.exec(stdout)?.[1] ?? "";
    const rows = readFileSync(join(PROJECT_ROOT, `${name}.csv`), "utf8")
      .trim()
      .split("\n");
    assert.equal(rows.length, 1 + 12);
    assert.match(rows[0], /^s,requests\/s,p50 ms,.*RSS m1,RSS m2,RSS m3/);
    assert.match(
      readFileSync(join(PROJECT_ROOT, `${name}.svg`), "utf8"),
      /^<svg [^]*<polyline [^]*<\/svg>\n$/,
    );
    assert.ok(existsSync(join(PROJECT_ROOT, `${name}.json`)));
  });

  test("faults: nothing is lost; a limit that cannot hold fails", async () => {
    const words = "faults --only kill-leader,pause-follower --calm-seconds 1 --fault-seconds 3";
    const good = await load(`${words} --gap-max-ms 20000`);
    assert.equal(good.code, 0, good.stdout + good.stderr);
    assert.match(good.stdout, /^kill-leader .* 0$/m);
    assert.match(good.stdout, /^pause-follower .* 0$/m);
    const bad = await load(`${words} --only restart-follower --gap-max-ms 1`);
    assert.equal(bad.code, 1);
    assert.match(bad.stdout, /^FAILED {2}restart-follower: no write for \d+ ms, the limit is 1$/m);
  });

  test("capacity: the highest rate is confirmed; a goal that nothing holds fails", async () => {
    const words = "capacity --keys 10 --from 50 --max 100 --seconds 1 --confirm-seconds 1";
    const good = await load(`${words} --goal-p99-ms 5000`);
    assert.equal(good.code, 0, good.stdout + good.stderr);
    assert.match(good.stdout, /^ours \S+ +100 /m);
    const bad = await load(`${words} --goal-p99-ms 0.001 --tries 1`);
    assert.equal(bad.code, 1);
    assert.match(bad.stdout, /no rate holds the goal/);
  });

  test("an endpoint that is not there, and one that goes away, are named", async (t) => {
    const nobody = await load("soak --endpoints 127.0.0.1:1");
    assert.deepEqual([nobody.code, nobody.stderr], [2, "no member answers at 127.0.0.1:1\n"]);
    const member = await startMember(t, { dataDir: tempDir(t) });
    const soak = new RunningTool(t, process.execPath, [SCRIPT, "soak", "--endpoints", member.address]);
    await waitFor("the first sample", RUN_MS, () => /^1 of 3600 s/m.test(soak.stderr) || undefined);
    await member.kill();
    assert.equal(await soak.ended(), 1);
    assert.match(soak.stderr, new RegExp(`${member.address}: `));
  });
});
