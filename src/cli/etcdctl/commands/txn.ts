/** `etcdctl txn` */
import { create } from "@bufbuild/protobuf";
import { type Compare, type RequestOp, TxnRequestSchema } from "../../../proto/gen/rpc_pb.ts";
import { type TxnResponse, TxnResponseSchema } from "../../../proto/gen/rpc_pb.ts";
import { CliError, ExitCode } from "../../common/cli-error.ts";
import type { Command } from "../../common/command.ts";
import { decodeOsString } from "../../common/os-string.ts";
import { LineReader, printLine } from "../../common/terminal.ts";
import { deleteView, printHeaderFields, putView, rangeView } from "../kv-view.ts";
import { openSession, withClient } from "../session.ts";
import { parseCompare, parseOperation } from "../txn-input.ts";
import { show, type View } from "../view.ts";

export const command: Command = {
  usage: "txn [options]",
  description: `
Reads a transaction from standard input and runs it as one atomic step. It has three parts, each ended by an empty line:
1) conditions,
2) requests to run if all conditions hold,
3) requests to run otherwise.

Example:

---
etcdctl txn -i
# compares:
mod("key1") > "0"

# success requests (get, put, del):
put key1 "overwrote-key1"

# failure requests (get, put, del):
put key1 "created-key1"
put key2 "some extra key"

---`,
  flags: [
    { name: "interactive", short: "i", type: "bool", default: false, help: "say which part is to be typed" },
  ],
  async run(context) {
    if (context.args.length > 0) throw new CliError(ExitCode.badArgs, "txn command does not accept argument");
    const { client, output } = await openSession(context);
    const response = await withClient(client, async ({ kv }) => {
      const request = await readTransaction(context.flags.bool("interactive"));
      // Without a deadline, as in etcd's client: who typed for minutes shall not lose it to a slow answer.
      return kv.txn(request, { timeoutMs: Infinity });
    });
    show(output, txnView(response));
  },
};

async function readTransaction(interactive: boolean) {
  const input = new LineReader();
  const prompt = (text: string): void => {
    if (interactive) printLine(text);
  };
  prompt("compares:");
  const compare: Compare[] = [];
  for (const line of section(input)) compare.push(parseCompare(line));
  prompt("success requests (get, put, del):");
  const success = await readOperations(input);
  prompt("failure requests (get, put, del):");
  const failure = await readOperations(input);
  return create(TxnRequestSchema, { compare, success, failure });
}

async function readOperations(input: LineReader): Promise<RequestOp[]> {
  const operations: RequestOp[] = [];
  for (const line of section(input)) operations.push(await parseOperation(line));
  return operations;
}

/** Lines up to the next empty one. The input may not end before it. */
function* section(input: LineReader): Generator<string> {
  for (;;) {
    const bytes = input.next();
    if (bytes === undefined) throw new CliError(ExitCode.invalidInput, "EOF");
    const line = decodeOsString(bytes).trim();
    if (line === "") return;
    yield line;
  }
}

function txnView(response: TxnResponse): View {
  const views = response.responses.map(({ response: each }) => {
    if (each.case === "responseRange") return rangeView(each.value);
    if (each.case === "responsePut") return putView(each.value);
    if (each.case === "responseDeleteRange") return deleteView(each.value);
    // Operations of this program are none of these; a transaction inside one cannot be typed.
    throw new CliError(ExitCode.error, `unexpected response ${each.case}`);
  });
  return {
    message: { schema: TxnResponseSchema, value: response },
    simple: (hex) => {
      printLine(response.succeeded ? "SUCCESS" : "FAILURE");
      for (const view of views) {
        printLine("");
        view.simple(hex);
      }
    },
    fields: (hex) => {
      printHeaderFields(response.header, hex);
      printLine(`"Succeeded" : ${response.succeeded}`);
      for (const view of views) view.fields!(hex);
    },
  };
}
