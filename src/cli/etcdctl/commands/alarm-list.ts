/** `etcdctl alarm list` */
import { AlarmRequest_AlarmAction } from "../../../proto/gen/rpc_pb.ts";
import { CliError, ExitCode } from "../../common/cli-error.ts";
import type { Command } from "../../common/command.ts";
import { alarmView } from "../alarm-view.ts";
import { openSession, withClient } from "../session.ts";
import { show } from "../view.ts";

export const command: Command = {
  usage: "list",
  async run(context) {
    if (context.args.length > 0)
      throw new CliError(ExitCode.badArgs, "alarm list command accepts no arguments");
    const { client, output } = await openSession(context);
    const response = await withClient(client, ({ maintenance }) =>
      maintenance.alarm({ action: AlarmRequest_AlarmAction.GET }),
    );
    show(output, alarmView(response));
  },
};
