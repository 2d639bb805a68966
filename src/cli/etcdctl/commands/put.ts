/** `etcdctl put` */
import { create } from "@bufbuild/protobuf";
import { type PutRequest, PutRequestSchema } from "../../../proto/gen/rpc_pb.ts";
import { CliError, ExitCode } from "../../common/cli-error.ts";
import type { Command } from "../../common/command.ts";
import { type Flags, parseArgument } from "../../common/flags.ts";
import { parseInt64 } from "../../common/go-number.ts";
import { encodeOsString } from "../../common/os-string.ts";
import { readAllInput } from "../../common/terminal.ts";
import { putView } from "../kv-view.ts";
import { openSession, withClient } from "../session.ts";
import { show } from "../view.ts";

export const command: Command = {
  usage: "put [options] <key> <value> (<value> can also be given from stdin)",
  description: `
Puts a key with its value into the store.

A <value> that begins with '-' would be taken for a flag. Put '--' before it:

$ put <key> -- <value>
$ put -- <key> <value>

Without <value>, and without --ignore-value, the value is read from standard input:

$ cat file | put <key>
`,
  flags: [
    {
      name: "lease",
      type: "string",
      default: "0",
      help: "ID (in hexadecimal) of the lease that the key goes with",
    },
    { name: "prev-kv", type: "bool", default: false, help: "print the key as it was before" },
    { name: "ignore-value", type: "bool", default: false, help: "keep the key's value" },
    { name: "ignore-lease", type: "bool", default: false, help: "keep the key's lease" },
  ],
  async run(context) {
    const request = putRequest(context.args, context.flags);
    const { client, output } = await openSession(context);
    show(output, putView(await withClient(client, ({ kv }) => kv.put(request))));
  },
};

const USAGE_PROBLEM = "put command needs 1 argument and input from stdin or 2 arguments";

/** The request that arguments and flags ask for; also for an operation of a transaction. Throws CliError. */
export function putRequest(args: readonly string[], flags: Flags): PutRequest {
  const [key, ...values] = args;
  const ignoreValue = flags.bool("ignore-value");
  if (key === undefined) throw new CliError(ExitCode.badArgs, USAGE_PROBLEM);
  if (ignoreValue && values.length > 0) {
    throw new CliError(ExitCode.badArgs, "put command needs only 1 argument when 'ignore-value' is set");
  }
  const value = ignoreValue ? new Uint8Array(0) : argumentOrInput(values[0]);
  const lease = parseArgument(
    () => parseInt64(flags.string("lease"), 16),
    ExitCode.badArgs,
    (cause) => `bad lease ID (${cause}), expecting ID in Hex`,
  );
  return create(PutRequestSchema, {
    key: encodeOsString(key),
    value,
    lease,
    prevKv: flags.bool("prev-kv"),
    ignoreValue,
    ignoreLease: flags.bool("ignore-lease"),
  });
}

/** Nothing from standard input is an error: an empty value must be given as such. */
function argumentOrInput(value: string | undefined): Uint8Array {
  if (value !== undefined) return encodeOsString(value);
  const input = readAllInput();
  if (input.length === 0) throw new CliError(ExitCode.badArgs, USAGE_PROBLEM);
  return input;
}
