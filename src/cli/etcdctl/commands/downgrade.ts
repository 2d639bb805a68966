/** `etcdctl downgrade validate`, `enable` and `cancel`. */
import { DowngradeRequest_DowngradeAction, DowngradeResponseSchema } from "../../../proto/gen/rpc_pb.ts";
import { CliError, ExitCode } from "../../common/cli-error.ts";
import type { Command, CommandContext } from "../../common/command.ts";
import { printLine } from "../../common/terminal.ts";
import { openSession, withClient } from "../session.ts";
import { show } from "../view.ts";

const { VALIDATE, ENABLE, CANCEL } = DowngradeRequest_DowngradeAction;

export const validate: Command = {
  usage: "validate <TARGET_VERSION>",
  description: "Says whether the cluster could be downgraded to that version, and changes nothing.",
  run: (context) =>
    ask(context, { action: VALIDATE, word: "validate", version: targetVersion(context.args) }),
};

export const enable: Command = {
  usage: "enable <TARGET_VERSION>",
  description: `
Lets members of that version, one minor below the cluster's, into the cluster. When all members have it, the downgrade has ended.
`,
  run: (context) => ask(context, { action: ENABLE, word: "enable", version: targetVersion(context.args) }),
};

export const cancel: Command = {
  usage: "cancel",
  run: (context) => ask(context, { action: CANCEL, word: "cancel", version: "" }),
};

interface Asked {
  readonly action: DowngradeRequest_DowngradeAction;
  /** As the answer names it. */
  readonly word: string;
  readonly version: string;
}

async function ask(context: CommandContext, { action, word, version }: Asked): Promise<void> {
  const { client, output } = await openSession(context);
  const response = await withClient(client, ({ maintenance }) => maintenance.downgrade({ action, version }));
  show(output, {
    message: { schema: DowngradeResponseSchema, value: response },
    simple: () => printLine(`Downgrade ${word} success, cluster version ${response.version}`),
  });
}

function targetVersion([version, ...others]: readonly string[]): string {
  if (version === undefined) throw new CliError(ExitCode.badArgs, "TARGET_VERSION not provided");
  if (others.length > 0) throw new CliError(ExitCode.badArgs, "too many arguments");
  if (version === "") throw new CliError(ExitCode.badArgs, "target version not provided");
  return version;
}
