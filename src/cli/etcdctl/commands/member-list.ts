/** `etcdctl member list` */
import { type Member, type MemberListResponse, MemberListResponseSchema } from "../../../proto/gen/rpc_pb.ts";
import type { Command } from "../../common/command.ts";
import { goQuote } from "../../common/go-quote.ts";
import { goJsonString, messageToJson } from "../../common/message-json.ts";
import { print, printLine } from "../../common/terminal.ts";
import { textTable } from "../../common/text-table.ts";
import { parseConsistency } from "../consistency.ts";
import { formatId, printHeaderFields } from "../kv-view.ts";
import { openSession, withClient } from "../session.ts";
import { show, type View } from "../view.ts";

export const command: Command = {
  usage: "list",
  description: `
In the "simple" format a line is: ID, status, name, peer addresses, client addresses, is learner.
`,
  flags: [
    { name: "consistency", type: "string", default: "l", help: "linearizable (l) or serializable (s)" },
  ],
  async run(context) {
    const linearizable = !parseConsistency(context.flags.string("consistency"));
    const { client, output } = await openSession(context);
    show(
      output,
      membersView(await withClient(client, ({ cluster }) => cluster.memberList({ linearizable }))),
    );
  },
};

const HEADINGS = ["ID", "Status", "Name", "Peer Addrs", "Client Addrs", "Is Learner"];

function membersView(response: MemberListResponse): View {
  const rows = response.members.map(memberRow);
  return {
    message: { schema: MemberListResponseSchema, value: response },
    simple: () => {
      for (const row of rows) printLine(row.join(", "));
    },
    table: () => print(textTable(HEADINGS, rows)),
    json: (hex) => (hex ? hexJson(response) : messageToJson(MemberListResponseSchema, response)),
    fields: (hex) => {
      printHeaderFields(response.header, hex);
      for (const member of response.members) printMemberFields(member, hex);
    },
  };
}

/** A member that never started has not told its name yet. */
function memberRow(member: Member): string[] {
  const status = member.name === "" ? "unstarted" : "started";
  const addresses = [member.peerURLs.join(","), member.clientURLs.join(",")];
  return [formatId(member.ID, true), status, member.name, ...addresses, String(member.isLearner)];
}

function printMemberFields(member: Member, hex: boolean): void {
  printLine(`"ID" : ${formatId(member.ID, hex)}`);
  printLine(`"Name" : ${goQuote(member.name)}`);
  for (const url of member.peerURLs) printLine(`"PeerURL" : ${goQuote(url)}`);
  for (const url of member.clientURLs) printLine(`"ClientURL" : ${goQuote(url)}`);
  printLine(`"IsLearner" : ${member.isLearner}`);
  printLine("");
}

/** A form of its own: IDs as hexadecimal strings, and fewer fields. */
function hexJson({ header, members }: MemberListResponse): string {
  const strings = (list: readonly string[]) =>
    list.length === 0 ? "null" : `[${list.map(goJsonString).join(",")}]`;
  const clusterId = formatId(header?.clusterId ?? 0n, true);
  const memberId = formatId(header?.memberId ?? 0n, true);
  const head = `{"cluster_id":"${clusterId}","member_id":"${memberId}","raft_term":${header?.raftTerm ?? 0n}}`;
  const list = members.map((member) => {
    const name = goJsonString(member.name);
    const urls = `"peerURLs":${strings(member.peerURLs)},"clientURLs":${strings(member.clientURLs)}`;
    return `{"ID":"${formatId(member.ID, true)}","name":${name},${urls}}`;
  });
  return `{"header":${head}${list.length === 0 ? "" : `,"members":[${list.join(",")}]`}}`;
}
