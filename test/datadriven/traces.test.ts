/**
 * Runs the project's own traces, and those of etcd-io/raft where `../shared/raft-testdata` stands beside the checkout. Where it does
 * not, there simply are fewer tests in the list: none is skipped or claimed.
 */
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { join, relative } from "node:path";
import { describe, test } from "node:test";
import { PROJECT_ROOT } from "../support/binaries.ts";
import { runTrace } from "./run-trace.ts";
import { traceFiles } from "./trace-files.ts";
import { VOCABULARIES } from "./vocabularies.ts";

const OWN = join(PROJECT_ROOT, "src/raft/testdata");
const SHARED = join(PROJECT_ROOT, "../shared/raft-testdata");

for (const folder of [OWN, SHARED].filter(existsSync)) {
  describe(`traces of ${relative(PROJECT_ROOT, folder)}`, () => {
    for (const path of traceFiles(folder)) {
      test(relative(folder, path), () => {
        const { failure, caseCount } = runTrace(readFileSync(path, "utf8"), VOCABULARIES, { rewrite: false });
        assert.equal(failure, null, `${path}\n${failure}`);
        assert.ok(caseCount > 0);
      });
    }
  });
}
