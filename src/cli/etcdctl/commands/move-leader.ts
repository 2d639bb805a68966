/** `etcdctl move-leader` */
import type { ClientOptions } from "../../../client/client.ts";
import { MoveLeaderResponseSchema } from "../../../proto/gen/rpc_pb.ts";
import { CliError, ExitCode } from "../../common/cli-error.ts";
import type { Command } from "../../common/command.ts";
import { parseArgument } from "../../common/flags.ts";
import { parseUint64 } from "../../common/go-number.ts";
import { printLine } from "../../common/terminal.ts";
import { formatId } from "../kv-view.ts";
import { openSession, withClient } from "../session.ts";
import { show } from "../view.ts";

export const command: Command = {
  usage: "move-leader <transferee-member-id>",
  async run(context) {
    const [word, ...others] = context.args;
    if (word === undefined || others.length > 0)
      throw new CliError(ExitCode.badArgs, "move-leader command needs 1 argument");
    const targetID = parseArgument(
      () => parseUint64(word, 16),
      ExitCode.badArgs,
      (cause) => cause,
    );
    const { client, output } = await openSession(context);
    const leader = await findLeader(client);
    const response = await withClient({ ...client, endpoints: [leader.endpoint] }, ({ maintenance }) =>
      maintenance.moveLeader({ targetID }),
    );
    show(output, {
      message: { schema: MoveLeaderResponseSchema, value: response },
      simple: () =>
        printLine(`Leadership transferred from ${formatId(leader.id, true)} to ${formatId(targetID, true)}`),
    });
  },
};

/** Only the leader takes the request: asks one endpoint after the other. Throws CliError if none of them is it, or one does not answer. */
async function findLeader(options: ClientOptions): Promise<{ endpoint: string; id: bigint }> {
  for (const endpoint of options.endpoints) {
    const { header, leader } = await withClient({ ...options, endpoints: [endpoint] }, ({ maintenance }) =>
      maintenance.status(),
    );
    if (header?.memberId === leader) return { endpoint, id: leader };
  }
  throw new CliError(ExitCode.badArgs, `no leader endpoint given at [${options.endpoints.join(" ")}]`);
}
