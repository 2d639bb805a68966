/** Reading a large file, with a bar on a terminal. */
import { statSync } from "node:fs";
import { CliError, ExitCode } from "../common/cli-error.ts";
import { fileErrorText } from "../common/file-error.ts";
import { humanBytes } from "../common/human-bytes.ts";
import { ProgressBar } from "../common/progress-bar.ts";

/** A file is read twice: for its SHA-256, and for what it holds. */
const PASSES = 2;
const SHA256_BYTES = 32;
const SECTOR_BYTES = 512;

/** Does `work`, which tells how many bytes it has read. Whatever is wrong with the file ends the program with exit code 1. */
export function withFileProgress<T>(path: string, work: (onProgress: (bytes: number) => void) => T): T {
  const bar = fileBar(path);
  try {
    const result = work((bytes) => bar.add(bytes));
    if (result instanceof Promise) {
      return result.catch(fail).finally(() => bar.finish()) as T;
    }
    bar.finish();
    return result;
  } catch (error) {
    bar.finish();
    return fail(error);
  }
}

function fileBar(path: string): ProgressBar {
  try {
    const { size } = statSync(path);
    const passes = size % SECTOR_BYTES === SHA256_BYTES ? PASSES : 1;
    return new ProgressBar({ total: size * passes, format: (bytes) => humanBytes(BigInt(bytes)) });
  } catch (error) {
    return fail(error);
  }
}

function fail(error: unknown): never {
  if (error instanceof CliError) throw error;
  throw new CliError(ExitCode.error, fileErrorText(error));
}
