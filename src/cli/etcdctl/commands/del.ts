/** `etcdctl del` */
import { create } from "@bufbuild/protobuf";
import { type DeleteRangeRequest, DeleteRangeRequestSchema } from "../../../proto/gen/rpc_pb.ts";
import { CliError, ExitCode } from "../../common/cli-error.ts";
import type { Command } from "../../common/command.ts";
import type { Flags } from "../../common/flags.ts";
import { goQuote } from "../../common/go-quote.ts";
import { printErrorLine } from "../../common/terminal.ts";
import { keyRange } from "../key-range.ts";
import { deleteView } from "../kv-view.ts";
import { openSession, withClient } from "../session.ts";
import { show } from "../view.ts";

/** Time to think again before a range given as two keys is deleted. */
const GRACE_MS = 2000;

export const command: Command = {
  usage: "del [options] <key> [range_end]",
  flags: [
    { name: "prefix", type: "bool", default: false, help: "delete the keys that begin with <key>" },
    { name: "prev-kv", type: "bool", default: false, help: "print the deleted keys" },
    {
      name: "from-key",
      type: "bool",
      default: false,
      help: "delete the keys from <key> on, in order of bytes",
    },
    { name: "range", type: "bool", default: false, help: "delete a range of keys without a pause" },
  ],
  async run(context) {
    const request = await deleteRequest(context.args, context.flags);
    const { client, output } = await openSession(context);
    show(output, deleteView(await withClient(client, ({ kv }) => kv.deleteRange(request))));
  },
};

/** The request that arguments and flags ask for; also for an operation of a transaction. Throws CliError. */
export async function deleteRequest(args: readonly string[], flags: Flags): Promise<DeleteRangeRequest> {
  const [key, rangeEnd] = args;
  const prefix = flags.bool("prefix");
  const fromKey = flags.bool("from-key");
  if (key === undefined || args.length > 2) {
    const problem = "del command needs one argument as key and an optional argument as range_end";
    throw new CliError(ExitCode.badArgs, problem);
  }
  if (prefix && fromKey) {
    const problem = "`--prefix` and `--from-key` cannot be set at the same time, choose one";
    throw new CliError(ExitCode.badArgs, problem);
  }
  if (rangeEnd !== undefined && (prefix || fromKey)) {
    const problem = "too many arguments, only accept one argument when `--prefix` or `--from-key` is set";
    throw new CliError(ExitCode.badArgs, problem);
  }
  if (rangeEnd !== undefined && !flags.bool("range")) await warnOfRange(key, rangeEnd);
  const range = keyRange(key, { prefix, fromKey, rangeEnd });
  return create(DeleteRangeRequestSchema, { ...range, prevKv: flags.bool("prev-kv") });
}

async function warnOfRange(key: string, rangeEnd: string): Promise<void> {
  printErrorLine(
    `Warning: Keys between ${goQuote(key)} and ${goQuote(rangeEnd)} will be deleted. Please interrupt the command ` +
      "within next 2 seconds to cancel. You can provide `--range` flag to avoid the delay.",
  );
  await new Promise((resolve) => setTimeout(resolve, GRACE_MS));
}
