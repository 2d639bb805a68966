/** `npm run fuzz -- --seeds 200`: the tests that draw from a seed, over many of them. A failure prints how to replay it. */
import { spawnSync } from "node:child_process";
import { globSync } from "node:fs";
import { parseArgs } from "node:util";

const USAGE = `npm run fuzz -- [options] [test files]
  --seeds <n>   seeds to try (default 20)
  --first <n>   the first of them (default: by chance)
Without files: those of test/fuzz and the storage tests that draw from a seed.`;

const OUTPUT_BYTES_MAX = 64 * 1024 * 1024;
const FIRST_END = 2 ** 30;
const FILES = ["test/fuzz/*.test.ts", "src/storage/{page-reader,key-search,defragmentation}.test.ts"];

const { values: flags, positionals } = parseArgs({
  options: {
    seeds: { type: "string", default: "20" },
    first: { type: "string" },
    help: { type: "boolean" },
  },
  allowPositionals: true,
});

function fuzz(): void {
  const files = positionals.length > 0 ? positionals : globSync(FILES);
  const first =
    flags.first === undefined ? Math.floor(Math.random() * FIRST_END) : wholeNumber("first", flags.first);
  const count = wholeNumber("seeds", flags.seeds);
  const failed: string[] = [];
  for (let seed = first; seed < first + count; seed++) {
    for (const file of files) {
      const { status, stdout } = spawnSync(process.execPath, ["--test", file], {
        env: { ...process.env, SEED: `${seed}` },
        encoding: "utf8",
        maxBuffer: OUTPUT_BYTES_MAX,
      });
      if (status === 0) continue;
      console.log(stdout);
      failed.push(`SEED=${seed} node --test ${file}`);
    }
  }
  console.log(`${count} seeds from ${first} on, ${files.length} files: ${failed.length} failures`);
  for (const command of failed) console.log(command);
  if (failed.length > 0) process.exitCode = 1;
}

function wholeNumber(name: string, text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 0) throw new Error(`--${name} ${text}: must be a whole number`);
  return value;
}

if (flags.help) console.log(USAGE);
else fuzz();
