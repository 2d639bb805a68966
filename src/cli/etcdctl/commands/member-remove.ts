/** `etcdctl member remove` */
import { MemberRemoveResponseSchema } from "../../../proto/gen/rpc_pb.ts";
import type { Command } from "../../common/command.ts";
import { printLine } from "../../common/terminal.ts";
import { padId, readMemberId } from "../member-arguments.ts";
import { openSession, withClient } from "../session.ts";
import { show } from "../view.ts";

export const command: Command = {
  usage: "remove <memberID>",
  async run(context) {
    const ID = readMemberId(context.args);
    const { client, output } = await openSession(context);
    const response = await withClient(client, ({ cluster }) => cluster.memberRemove({ ID }));
    show(output, {
      message: { schema: MemberRemoveResponseSchema, value: response },
      simple: () =>
        printLine(`Member ${padId(ID)} removed from cluster ${padId(response.header?.clusterId)}`),
    });
  },
};
