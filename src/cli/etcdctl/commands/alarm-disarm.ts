/** `etcdctl alarm disarm` */
import { create } from "@bufbuild/protobuf";
import type { Client } from "../../../client/client.ts";
import {
  AlarmRequest_AlarmAction,
  type AlarmResponse,
  AlarmResponseSchema,
} from "../../../proto/gen/rpc_pb.ts";
import { CliError, ExitCode } from "../../common/cli-error.ts";
import type { Command } from "../../common/command.ts";
import { alarmView } from "../alarm-view.ts";
import { openSession, withClient } from "../session.ts";
import { show } from "../view.ts";

export const command: Command = {
  usage: "disarm",
  async run(context) {
    if (context.args.length > 0) {
      throw new CliError(ExitCode.badArgs, "alarm disarm command accepts no arguments");
    }
    const { client, output } = await openSession(context);
    show(output, alarmView(await withClient(client, disarmAll)));
  },
};

/** Every alarm of every member, one after the other. The answer names those that are gone. */
async function disarmAll({ maintenance }: Client): Promise<AlarmResponse> {
  const { alarms } = await maintenance.alarm({ action: AlarmRequest_AlarmAction.GET });
  const disarmed = create(AlarmResponseSchema);
  for (const { memberID, alarm } of alarms) {
    const response = await maintenance.alarm({
      action: AlarmRequest_AlarmAction.DEACTIVATE,
      memberID,
      alarm,
    });
    disarmed.alarms.push(...response.alarms);
  }
  return disarmed;
}
