/** `etcdctl lease list` */
import { CliError, ExitCode } from "../../common/cli-error.ts";
import type { Command } from "../../common/command.ts";
import { leasesView } from "../lease-view.ts";
import { openSession, withClient } from "../session.ts";
import { show } from "../view.ts";

export const command: Command = {
  usage: "list",
  async run(context) {
    const { client, output } = await openSession(context);
    const response = await withClient(
      client,
      ({ lease }) => lease.leaseLeases({}, { timeoutMs: Infinity }),
      (message) => new CliError(ExitCode.badConnection, message),
    );
    show(output, leasesView(response));
  },
};
