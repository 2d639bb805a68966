/**
 * `npm run datadriven -- [--rewrite] <files or folders>`: runs traces of the datadriven format (a command, `----`, the whole
 * expected output). Which vocabulary a file speaks is seen from its commands. Exit code 1 if anything failed or nothing ran.
 *
 * Read next: `trace-case.ts` (the format), `vocabularies.ts` (what can be traced).
 */
import { readFileSync, writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { runTrace, type TraceOutcome } from "./run-trace.ts";
import { traceFiles } from "./trace-files.ts";
import { VOCABULARIES } from "./vocabularies.ts";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { rewrite: { type: "boolean", default: false } },
});

let failures = 0;
let caseCount = 0;
const files = positionals.flatMap(traceFiles);
for (const path of files) {
  const outcome = runFile(path);
  caseCount += outcome.caseCount;
  if (outcome.failure === null) {
    console.log(`pass ${path} (${outcome.caseCount} cases)`);
  } else {
    failures++;
    console.log(`FAIL ${path}\n${outcome.failure.replace(/^/gm, "     ")}`);
  }
}
console.log(`${files.length - failures} of ${files.length} files pass, ${caseCount} cases`);
if (failures > 0 || caseCount === 0) process.exitCode = 1;

function runFile(path: string): TraceOutcome {
  try {
    const text = readFileSync(path, "utf8");
    const outcome = runTrace(text, VOCABULARIES, { rewrite: values.rewrite });
    if (values.rewrite && outcome.rewritten !== null && outcome.rewritten !== text)
      writeFileSync(path, outcome.rewritten);
    return outcome;
  } catch (error) {
    return { caseCount: 0, failure: String(error), rewritten: null };
  }
}
