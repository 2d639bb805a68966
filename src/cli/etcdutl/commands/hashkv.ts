/** `etcdutl hashkv` */
import { CliError, ExitCode } from "../../common/cli-error.ts";
import type { Command } from "../../common/command.ts";
import { fileErrorText } from "../../common/file-error.ts";
import { hashHistory } from "../history-file.ts";
import { checkFormat, printFigures } from "../output.ts";

export const command: Command = {
  usage: "hashkv <filename>",
  description: `
Prints what 'etcdctl endpoint hashkv' prints for a member with this database: a snapshot, or the file of a data directory.
`,
  flags: [
    { name: "rev", type: "int64", default: 0n, help: "last revision to hash (default: the newest one)" },
  ],
  checkArgs: (args) => (args.length === 1 ? undefined : `accepts 1 arg(s), received ${args.length}`),
  run({ args: [path], flags }) {
    checkFormat(flags);
    const { hash, revision, compactRevision } = computeHash(path, Number(flags.int64("rev")));
    printFigures(flags, {
      headings: ["hash", "hash revision", "compact revision"],
      row: [hash, revision, compactRevision].map(String),
      fields: [
        ["Hash", `${hash}`],
        ["Hash revision", `${revision}`],
        ["Compact revision", `${compactRevision}`],
      ],
      json: `{"hash":${hash},"hashRevision":${revision},"compactRevision":${compactRevision}}`,
    });
  },
};

function computeHash(path: string, revision: number): ReturnType<typeof hashHistory> {
  try {
    return hashHistory(path, revision);
  } catch (error) {
    throw new CliError(ExitCode.error, fileErrorText(error));
  }
}
