/** The output formats of etcdutl's figures. */
import { CliError, ExitCode } from "../common/cli-error.ts";
import type { Flags } from "../common/flags.ts";
import { print, printLine } from "../common/terminal.ts";
import { textTable } from "../common/text-table.ts";

/** One set of figures, in all formats. */
export interface Figures {
  readonly headings: readonly string[];
  readonly row: readonly string[];
  /** Names and values of the fields format; values as they are to appear. */
  readonly fields: readonly (readonly [name: string, value: string])[];
  readonly json: string;
}

const FORMATS = ["simple", "fields", "json", "protobuf", "table"];

/** Checks `--write-out` before any work is done. Throws CliError. */
export function checkFormat(flags: Flags): void {
  if (!FORMATS.includes(flags.string("write-out"))) {
    throw new CliError(ExitCode.badFeature, "unsupported output format");
  }
}

/** Prints as `--write-out` says. Throws CliError for protobuf: there is no message of these figures. */
export function printFigures(flags: Flags, { headings, row, fields, json }: Figures): void {
  const format = flags.string("write-out");
  if (format === "simple") printLine(row.join(", "));
  else if (format === "table") print(textTable(headings, [row]));
  else if (format === "json") printLine(json);
  else if (format === "fields") for (const [name, value] of fields) printLine(`"${name}" : ${value}`);
  else throw new CliError(ExitCode.badFeature, `${format} not supported as output format`);
}
