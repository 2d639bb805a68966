/** `etcdctl compaction` */
import { CliError, ExitCode } from "../../common/cli-error.ts";
import type { Command } from "../../common/command.ts";
import { parseArgument } from "../../common/flags.ts";
import { parseInt64 } from "../../common/go-number.ts";
import { printLine } from "../../common/terminal.ts";
import { openSession, withClient } from "../session.ts";

export const command: Command = {
  usage: "compaction [options] <revision>",
  flags: [
    {
      name: "physical",
      type: "bool",
      default: false,
      help: "wait until the old revisions are gone from the database",
    },
  ],
  async run(context) {
    if (context.args.length !== 1)
      throw new CliError(ExitCode.badArgs, "compaction command needs 1 argument");
    const revision = parseArgument(
      () => parseInt64(context.args[0], 10),
      ExitCode.error,
      (cause) => cause,
    );
    const { client } = await openSession(context);
    const physical = context.flags.bool("physical");
    await withClient(client, ({ kv }) => kv.compact({ revision, physical }));
    printLine(`compacted revision ${revision}`);
  },
};
