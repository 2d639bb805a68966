/** `etcdctl lease grant` */
import { CliError, ExitCode } from "../../common/cli-error.ts";
import type { Command } from "../../common/command.ts";
import { parseArgument } from "../../common/flags.ts";
import { parseInt64 } from "../../common/go-number.ts";
import { grantView } from "../lease-view.ts";
import { openSession, withClient } from "../session.ts";
import { show } from "../view.ts";

export const command: Command = {
  usage: "grant <ttl>",
  async run(context) {
    const [word, ...others] = context.args;
    if (word === undefined || others.length > 0) {
      throw new CliError(ExitCode.badArgs, "lease grant command needs TTL argument");
    }
    const TTL = parseArgument(
      () => parseInt64(word, 10),
      ExitCode.badArgs,
      (cause) => `bad TTL (${cause})`,
    );
    const { client, output } = await openSession(context);
    const response = await withClient(
      client,
      ({ lease }) => lease.leaseGrant({ TTL }),
      (message) => new CliError(ExitCode.error, `failed to grant lease (${message})`),
    );
    show(output, grantView(response));
  },
};
