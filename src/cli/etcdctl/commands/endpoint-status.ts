/** `etcdctl endpoint status` */
import { type StatusResponse, StatusResponseSchema } from "../../../proto/gen/rpc_pb.ts";
import { CliError, ExitCode } from "../../common/cli-error.ts";
import type { Command } from "../../common/command.ts";
import { goQuote } from "../../common/go-quote.ts";
import { humanBytes } from "../../common/human-bytes.ts";
import { goJsonString, messageToJson } from "../../common/message-json.ts";
import { print, printLine } from "../../common/terminal.ts";
import { textTable } from "../../common/text-table.ts";
import { askEach, type EndpointAnswer, selectedEndpoints } from "../endpoints.ts";
import { formatId, printHeaderFields } from "../kv-view.ts";
import { openSession } from "../session.ts";
import { show, type View } from "../view.ts";

export const command: Command = {
  usage: "status",
  description: `
In the "simple" format a line is: endpoint, ID, version, storage version, size of the database, size in use, percentage not
in use, quota, is leader, is learner, raft term, raft index, raft applied index, errors, downgrade target version, downgrade
enabled.
`,
  async run(context) {
    const session = await openSession(context);
    const endpoints = await selectedEndpoints(context, session);
    const { answers, failure } = await askEach(session.client, endpoints, {
      what: "status",
      ask: ({ maintenance }) => maintenance.status(),
    });
    show(session.output, statusView(answers));
    if (failure !== undefined) throw new CliError(ExitCode.error, "");
  },
};

type Status = EndpointAnswer<StatusResponse>;

const HEADINGS = [
  "endpoint",
  "ID",
  "version",
  "storage version",
  "db size",
  "in use",
  "percentage not in use",
  "quota",
  "is leader",
  "is learner",
  "raft term",
  "raft index",
  "raft applied index",
  "errors",
  "downgrade target version",
  "downgrade enabled",
];

function statusView(list: readonly Status[]): View {
  const rows = list.map(statusRow);
  return {
    simple: () => {
      for (const row of rows) printLine(row.join(", "));
    },
    table: () => print(textTable(HEADINGS, rows)),
    json: () => (list.length === 0 ? "null" : `[${list.map(statusJson).join(",")}]`),
    fields: (hex) => {
      for (const status of list) printStatusFields(status, hex);
    },
  };
}

function statusJson({ endpoint, answer }: Status): string {
  return `{"Endpoint":${goJsonString(endpoint)},"Status":${messageToJson(StatusResponseSchema, answer)}}`;
}

function statusRow({ endpoint, answer }: Status): string[] {
  const memberId = answer.header?.memberId ?? 0n;
  const { dbSize, dbSizeInUse, downgradeInfo } = answer;
  const used = dbSize === 0n ? 100n : (dbSizeInUse * 100n) / dbSize;
  const sizes = [
    humanBytes(dbSize),
    humanBytes(dbSizeInUse),
    `${100n - used}%`,
    humanBytes(answer.dbSizeQuota),
  ];
  const roles = [String(answer.leader === memberId), String(answer.isLearner)];
  const raft = [answer.raftTerm, answer.raftIndex, answer.raftAppliedIndex].map(String);
  const downgrade = [downgradeInfo?.targetVersion ?? "", String(downgradeInfo?.enabled ?? false)];
  const versions = [answer.version, answer.storageVersion];
  return [
    endpoint,
    formatId(memberId, true),
    ...versions,
    ...sizes,
    ...roles,
    ...raft,
    answer.errors.join(", "),
    ...downgrade,
  ];
}

function printStatusFields({ endpoint, answer }: Status, hex: boolean): void {
  printHeaderFields(answer.header, hex);
  printLine(`"Version" : ${goQuote(answer.version)}`);
  printLine(`"StorageVersion" : ${goQuote(answer.storageVersion)}`);
  printLine(`"DBSize" : ${answer.dbSize}`);
  printLine(`"DBSizeInUse" : ${answer.dbSizeInUse}`);
  printLine(`"DBSizeQuota" : ${answer.dbSizeQuota}`);
  printLine(`"Leader" : ${answer.leader}`);
  printLine(`"IsLearner" : ${answer.isLearner}`);
  printLine(`"RaftIndex" : ${answer.raftIndex}`);
  printLine(`"RaftTerm" : ${answer.raftTerm}`);
  printLine(`"RaftAppliedIndex" : ${answer.raftAppliedIndex}`);
  printLine(`"Errors" : [${answer.errors.join(" ")}]`);
  printLine(`"Endpoint" : ${goQuote(endpoint)}`);
  printLine(`"DowngradeTargetVersion" : ${goQuote(answer.downgradeInfo?.targetVersion ?? "")}`);
  printLine(`"DowngradeEnabled" : ${answer.downgradeInfo?.enabled ?? false}`);
  printLine("");
}
