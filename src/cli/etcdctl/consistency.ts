/** The `--consistency` flag of commands that read. */
import { CliError, ExitCode } from "../common/cli-error.ts";
import { goQuote } from "../common/go-quote.ts";

/** True for a read of the member's own state. Throws CliError for anything but `l` and `s`. */
export function parseConsistency(value: string): boolean {
  if (value !== "l" && value !== "s") {
    throw new CliError(ExitCode.badFeature, `unknown consistency flag ${goQuote(value)}`);
  }
  return value === "s";
}
