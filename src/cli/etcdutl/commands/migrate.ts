/** `etcdutl migrate` */
import { existsSync } from "node:fs";
import { CliError, ExitCode } from "../../common/cli-error.ts";
import type { Command } from "../../common/command.ts";
import { goQuote } from "../../common/go-quote.ts";
import { requireFlags } from "../../common/required-flags.ts";
import { dataPaths } from "../../../storage/data-dir.ts";
import { consoleLog } from "../console-log.ts";

/** The schema of our data directories, which no other version reads. */
const OWN_VERSION = "3.6";

export const command: Command = {
  usage: "migrate",
  description: `
A data directory of this program has one form, which no version of etcd reads, so there is nothing to migrate in it. To move data to
an etcd of whatever version: save a snapshot, and restore it with that version's etcdutl.
`,
  flags: [
    { name: "data-dir", type: "string", default: "", help: "Data directory of the member" },
    { name: "target-version", type: "string", default: "", help: "Version to migrate to, such as 3.6" },
    { name: "force", type: "bool", default: false, help: "has no effect" },
  ],
  run({ flags }) {
    requireFlags(flags, ["data-dir", "target-version"]);
    const target = flags.string("target-version");
    checkTarget(target);
    const { databasePath } = dataPaths(flags.string("data-dir"));
    if (!existsSync(databasePath)) throw new CliError(ExitCode.error, `there is no database ${databasePath}`);
    if (target === OWN_VERSION) {
      return consoleLog("info", "storage version up-to-date", { "storage-version": target });
    }
    throw new CliError(
      ExitCode.error,
      `a data directory of this program cannot be migrated to ${target}: save a snapshot with 'etcdctl snapshot save' and restore it ` +
        `with the etcdutl of that version`,
    );
  },
};

function checkTarget(target: string): void {
  const refuse = (problem: string): never => {
    throw new CliError(ExitCode.badArgs, problem);
  };
  if (target.split(".").length !== 2) {
    refuse(`wrong target version format, expected "X.Y", got ${goQuote(target)}`);
  }
  const numbers = /^(\d+)\.(\d+)$/.exec(target);
  if (numbers === null) return refuse(`failed to parse target version: ${goQuote(target)} is no version`);
  const [major, minor] = numbers.slice(1).map(Number);
  if (major < 3 || (major === 3 && minor < 5)) {
    refuse(`target version ${goQuote(target)} not supported. Minimal "3.5"`);
  }
}
