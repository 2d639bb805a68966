/** `etcdctl endpoint hashkv` */
import { type HashKVResponse, HashKVResponseSchema } from "../../../proto/gen/rpc_pb.ts";
import { CliError, ExitCode } from "../../common/cli-error.ts";
import type { Command } from "../../common/command.ts";
import { goQuote } from "../../common/go-quote.ts";
import { goJsonString, messageToJson } from "../../common/message-json.ts";
import { print, printLine } from "../../common/terminal.ts";
import { textTable } from "../../common/text-table.ts";
import { askEach, type EndpointAnswer, selectedEndpoints } from "../endpoints.ts";
import { printHeaderFields } from "../kv-view.ts";
import { openSession } from "../session.ts";
import { show, type View } from "../view.ts";

export const command: Command = {
  usage: "hashkv",
  flags: [
    { name: "rev", type: "int64", default: 0n, help: "last revision to hash (default: the current one)" },
  ],
  async run(context) {
    const session = await openSession(context);
    const endpoints = await selectedEndpoints(context, session);
    const revision = context.flags.int64("rev");
    const { answers, failure } = await askEach(session.client, endpoints, {
      what: "hash",
      ask: ({ maintenance }) => maintenance.hashKV({ revision }),
    });
    show(session.output, hashView(answers));
    if (failure !== undefined) throw new CliError(ExitCode.error, failure.message);
  },
};

type Hash = EndpointAnswer<HashKVResponse>;

function hashView(list: readonly Hash[]): View {
  const rows = list.map(({ endpoint, answer }) => [endpoint, `${answer.hash}`, `${answer.hashRevision}`]);
  return {
    simple: () => {
      for (const row of rows) printLine(row.join(", "));
    },
    table: () => print(textTable(["endpoint", "hash", "hash_revision"], rows)),
    json: () => (list.length === 0 ? "null" : `[${list.map(hashJson).join(",")}]`),
    fields: (hex) => {
      for (const { endpoint, answer } of list) {
        printHeaderFields(answer.header, hex);
        printLine(`"Endpoint" : ${goQuote(endpoint)}`);
        printLine(`"Hash" : ${answer.hash}`);
        printLine(`"HashRevision" : ${answer.hashRevision}`);
        printLine("");
      }
    },
  };
}

function hashJson({ endpoint, answer }: Hash): string {
  return `{"Endpoint":${goJsonString(endpoint)},"HashKV":${messageToJson(HashKVResponseSchema, answer)}}`;
}
