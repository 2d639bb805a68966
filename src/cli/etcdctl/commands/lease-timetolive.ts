/** `etcdctl lease timetolive` */
import { CliError, ExitCode } from "../../common/cli-error.ts";
import type { Command } from "../../common/command.ts";
import { readLeaseId, timeToLiveView } from "../lease-view.ts";
import { openSession, withClient } from "../session.ts";
import { show } from "../view.ts";

export const command: Command = {
  usage: "timetolive <leaseID> [options]",
  flags: [{ name: "keys", type: "bool", default: false, help: "print the keys that go with the lease" }],
  async run(context) {
    const ID = readLeaseId(context.args, "lease timetolive command needs lease ID as argument");
    const keys = context.flags.bool("keys");
    const { client, output } = await openSession(context);
    const response = await withClient(
      client,
      ({ lease }) => lease.leaseTimeToLive({ ID, keys }, { timeoutMs: Infinity }),
      (message) => new CliError(ExitCode.badConnection, message),
    );
    show(output, timeToLiveView(response, keys));
  },
};
