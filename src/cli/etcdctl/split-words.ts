/** Lines that commands read from standard input, as words. */
import { CliError, ExitCode } from "../common/cli-error.ts";
import { goUnquote } from "../common/go-quote.ts";

const WORD = /"(?:[^"\\]|\\.)*"|'[^']*'|[^'"\t\n\f\r ][^\t\n\f\r ]*[^'"\t\n\f\r ]?/gs;

/** Splits at spaces; words may be in single quotes, or in double quotes with Go's escapes. Throws CliError. */
export function splitWords(line: string): string[] {
  return (line.match(WORD) ?? []).map((word) => {
    if (word.startsWith("'")) return word.slice(1, -1);
    if (!word.startsWith('"')) return word;
    const text = goUnquote(word);
    if (text === undefined) throw new CliError(ExitCode.invalidInput, "invalid syntax");
    return text;
  });
}
