/** `etcdctl member add` */
import { type MemberAddResponse, MemberAddResponseSchema } from "../../../proto/gen/rpc_pb.ts";
import { CliError, ExitCode } from "../../common/cli-error.ts";
import type { Command } from "../../common/command.ts";
import { goQuote } from "../../common/go-quote.ts";
import { printLine } from "../../common/terminal.ts";
import { checkPeerUrls, padId, peerUrlsFlag, splitPeerUrls } from "../member-arguments.ts";
import { openSession, withClient } from "../session.ts";
import { show } from "../view.ts";

export const command: Command = {
  usage: "add <memberName> [options]",
  flags: [
    peerUrlsFlag("new"),
    { name: "learner", type: "bool", default: false, help: "add it as a member that does not vote yet" },
  ],
  async run(context) {
    const name = readName(context.args);
    const list = context.flags.string("peer-urls");
    const peerURLs = splitPeerUrls(list);
    const isLearner = context.flags.bool("learner");
    const { client, output } = await openSession(context);
    checkPeerUrls(peerURLs);
    const response = await withClient(client, ({ cluster }) => cluster.memberAdd({ peerURLs, isLearner }));
    show(output, {
      message: { schema: MemberAddResponseSchema, value: response },
      simple: () => printAdded(response, name, list),
    });
  },
};

function readName(args: readonly string[]): string {
  if (args.length === 0) throw new CliError(ExitCode.badArgs, "member name not provided");
  if (args.length === 1) return args[0];
  const hints = args
    .filter((word) => word.toLowerCase().startsWith("http"))
    .map((word) => `, did you mean --peer-urls=${word}`);
  throw new CliError(ExitCode.badArgs, `too many arguments${hints.join("")}`);
}

/** With the environment that the new member is to be started in. */
function printAdded({ header, member, members }: MemberAddResponse, name: string, peerUrls: string): void {
  const role = member?.isLearner === true ? " as learner " : " ";
  printLine(`Member ${padId(member?.ID)} added${role}to cluster ${padId(header?.clusterId)}`);
  const initial = members.flatMap((each) =>
    each.peerURLs.map((url) => `${each.ID === member?.ID ? name : each.name}=${url}`),
  );
  printLine("");
  printLine(`ETCD_NAME=${goQuote(name)}`);
  printLine(`ETCD_INITIAL_CLUSTER=${goQuote(initial.join(","))}`);
  printLine(`ETCD_INITIAL_ADVERTISE_PEER_URLS=${goQuote(peerUrls)}`);
  printLine('ETCD_INITIAL_CLUSTER_STATE="existing"');
}
