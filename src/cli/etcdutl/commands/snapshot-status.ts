/** `etcdutl snapshot status` */
import { CliError, ExitCode } from "../../common/cli-error.ts";
import type { Command } from "../../common/command.ts";
import { humanBytes } from "../../common/human-bytes.ts";
import { goJsonString } from "../../common/message-json.ts";
import { consoleLog } from "../console-log.ts";
import { withFileProgress } from "../file-progress.ts";
import { checkFormat, printFigures } from "../output.ts";
import { readStatus } from "../snapshot-status.ts";

export const command: Command = {
  usage: "status <filename>",
  description: `
Reads the whole file, and refuses one that is damaged or cut short. In the "simple" format the line is: hash, revision, keys, size,
storage version.
`,
  run({ args: [path, ...others], flags }) {
    if (path === undefined || others.length > 0) {
      throw new CliError(ExitCode.badArgs, "snapshot status requires exactly one argument");
    }
    checkFormat(flags);
    const status = withFileProgress(path, (onProgress) => readStatus(path, onProgress));
    if (!status.isVerified) {
      consoleLog("warn", "no SHA-256 stands behind the database, so changed contents would not be noticed", {
        path,
      });
    }
    const { hash, revision, totalKeys, totalBytes, version } = status;
    const fields = [hash, revision, totalKeys, totalBytes, version].map(String);
    const names = ["Hash", "Revision", "Keys", "Size", "Version"];
    printFigures(flags, {
      headings: ["hash", "revision", "total keys", "total size", "version"],
      row: [hash.toString(16), `${revision}`, `${totalKeys}`, humanBytes(BigInt(totalBytes)), version],
      fields: names.map((name, i) => [name, fields[i]] as const),
      json:
        `{"hash":${hash},"revision":${revision},"totalKey":${totalKeys},"totalSize":${totalBytes},` +
        `"version":${goJsonString(version)}}`,
    });
  },
};
