/** `etcdctl lease revoke` */
import { CliError, ExitCode } from "../../common/cli-error.ts";
import type { Command } from "../../common/command.ts";
import { readLeaseId, revokeView } from "../lease-view.ts";
import { openSession, withClient } from "../session.ts";
import { show } from "../view.ts";

export const command: Command = {
  usage: "revoke <leaseID>",
  async run(context) {
    const ID = readLeaseId(context.args, "lease revoke command needs 1 argument");
    const { client, output } = await openSession(context);
    const response = await withClient(
      client,
      ({ lease }) => lease.leaseRevoke({ ID }),
      (message) => new CliError(ExitCode.error, `failed to revoke lease (${message})`),
    );
    show(output, revokeView(ID, response));
  },
};
