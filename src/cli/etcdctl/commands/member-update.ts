/** `etcdctl member update` */
import { MemberUpdateResponseSchema } from "../../../proto/gen/rpc_pb.ts";
import type { Command } from "../../common/command.ts";
import { printLine } from "../../common/terminal.ts";
import { checkPeerUrls, padId, peerUrlsFlag, readMemberId, splitPeerUrls } from "../member-arguments.ts";
import { openSession, withClient } from "../session.ts";
import { show } from "../view.ts";

export const command: Command = {
  usage: "update <memberID> [options]",
  flags: [peerUrlsFlag("updated")],
  async run(context) {
    const ID = readMemberId(context.args);
    const peerURLs = splitPeerUrls(context.flags.string("peer-urls"));
    const { client, output } = await openSession(context);
    checkPeerUrls(peerURLs);
    const response = await withClient(client, ({ cluster }) => cluster.memberUpdate({ ID, peerURLs }));
    show(output, {
      message: { schema: MemberUpdateResponseSchema, value: response },
      simple: () => printLine(`Member ${padId(ID)} updated in cluster ${padId(response.header?.clusterId)}`),
    });
  },
};
