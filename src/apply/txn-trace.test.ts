/**
 * Traces of requests and their whole answers: testdata/txn-*.txt. A block is a command (a txn spans lines, nested by
 * indentation), `----`, the answer, an empty line. `node src/apply/txn-trace.test.ts --rewrite` writes the answers anew.
 *
 *   put K V [lease=N] [prev] [ignore-value] [ignore-lease]      get K [END] [rev=N] [limit=N] [count] [keys]
 *   del K [END] [prev]                                          compact N
 *   txn / "  if version|create|mod|value|lease K [END] =|!=|<|> X" / "  then OP" / "  else OP"
 */
import assert from "node:assert/strict";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { test } from "node:test";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { MachineFixture, TestLeases } from "../../test/fuzz/machine-fixture.ts";
import { MemorySource } from "../../test/fuzz/memory-source.ts";
import { ErrorId, ERRORS } from "../base/errors.ts";
import { createMvccStore } from "../mvcc/mvcc.ts";
import type { KeyValue } from "../proto/gen/kv_pb.ts";
import {
  type Compare,
  CompareSchema,
  CompactionRequestSchema,
  type RequestOp,
  RequestOpSchema,
  type ResponseOp,
  type TxnRequest,
  TxnRequestSchema,
  type TxnResponse,
  TxnResponseSchema,
} from "../proto/gen/rpc_pb.ts";
import { RaftField } from "../proto/raft-request.ts";
import { ReadKind } from "../ring/record-types.ts";
import { checkTxn, classifyTxn, TxnRoute } from "./validate-txn.ts";

const encode = (text: string): Uint8Array => new TextEncoder().encode(text.replaceAll("\\0", "\0"));
const decode = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);

function optionOf(words: readonly string[], name: string): bigint {
  return BigInt(words.find((word) => word.startsWith(`${name}=`))?.slice(name.length + 1) ?? 0);
}

/** The words that are no options. */
function plain(words: readonly string[]): string[] {
  return words.filter((word) => !/=|^(prev|ignore-value|ignore-lease|count|keys)$/.test(word));
}

function parseOp(lines: string[], words: string[], indent: number): RequestOp {
  const [kind, key = "", second = ""] = plain(words);
  const op = create(RequestOpSchema);
  const has = (word: string): boolean => words.includes(word);
  if (kind === "put") {
    op.request = create(RequestOpSchema, {
      request: {
        case: "requestPut",
        value: {
          key: encode(key),
          value: encode(second),
          lease: optionOf(words, "lease"),
          prevKv: has("prev"),
          ignoreValue: has("ignore-value"),
          ignoreLease: has("ignore-lease"),
        },
      },
    }).request;
  } else if (kind === "get") {
    const [limit, revision] = [optionOf(words, "limit"), optionOf(words, "rev")];
    const value = {
      key: encode(key),
      rangeEnd: encode(second),
      limit,
      revision,
      countOnly: has("count"),
      keysOnly: has("keys"),
    };
    op.request = create(RequestOpSchema, { request: { case: "requestRange", value } }).request;
  } else if (kind === "del") {
    const value = { key: encode(key), rangeEnd: encode(second), prevKv: has("prev") };
    op.request = create(RequestOpSchema, { request: { case: "requestDeleteRange", value } }).request;
  } else if (kind === "txn") op.request = { case: "requestTxn", value: parseTxn(lines, indent) };
  else assert.equal(kind, "nothing");
  return op;
}

function parseTxn(lines: string[], indent: number): TxnRequest {
  const txn = create(TxnRequestSchema);
  while (lines.length > 0 && lines[0].search(/\S/) > indent) {
    const line = lines.shift() as string;
    const [word, ...words] = line.trim().split(" ");
    if (word === "if") txn.compare.push(parseCompare(words));
    else (word === "then" ? txn.success : txn.failure).push(parseOp(lines, words, line.search(/\S/)));
  }
  return txn;
}

function parseCompare(words: string[]): Compare {
  const operand = words.pop() as string;
  const result = ["=", ">", "<", "!="].indexOf(words.pop() as string) as Compare["result"];
  const [targetName, key = "", end = ""] = words as [string, ...string[]];
  const target = ["version", "create", "mod", "value", "lease"].indexOf(targetName) as Compare["target"];
  const name = (["version", "createRevision", "modRevision", "value", "lease"] as const)[target];
  const compare = create(CompareSchema, { key: encode(key), rangeEnd: encode(end), result, target });
  if (operand === "unset") return compare;
  compare.targetUnion =
    name === "value" ? { case: name, value: encode(operand) } : { case: name, value: BigInt(operand) };
  return compare;
}

const showKv = (kv: KeyValue): string =>
  `${decode(kv.key)}=${decode(kv.value)} (create ${kv.createRevision}, mod ${kv.modRevision}, version ${kv.version}` +
  `${kv.lease === 0n ? "" : `, lease ${kv.lease}`})`;

function showOp({ response }: ResponseOp, indent: string): string[] {
  if (response.case === "responseTxn") return showTxn(response.value, indent);
  const revision = response.value?.header?.revision;
  if (response.case === "responsePut") {
    const previous = response.value.prevKv;
    return [
      `${indent}put, header ${revision}${previous === undefined ? "" : `, previous ${showKv(previous)}`}`,
    ];
  }
  if (response.case === "responseDeleteRange") {
    const head = `${indent}deleted ${response.value.deleted}, header ${revision}`;
    return [head, ...response.value.prevKvs.map((kv) => `${indent}  ${showKv(kv)}`)];
  }
  if (response.case !== "responseRange") return [`${indent}nothing`];
  const head = `${indent}count ${response.value.count}${response.value.more ? ", more" : ""}, header ${revision}`;
  return [head, ...response.value.kvs.map((kv) => `${indent}  ${showKv(kv)}`)];
}

function showTxn(response: TxnResponse, indent: string): string[] {
  const head = `${indent}${response.succeeded ? "succeeded" : "failed"}, header ${response.header?.revision}`;
  return [head, ...response.responses.flatMap((op) => showOp(op, `${indent}  `))];
}

/** Runs a command; single ops run as txns of one op, which answer the same. */
function runCommand(fixture: MachineFixture, command: string): string {
  const lines = command.split("\n");
  const words = (lines.shift() as string).split(" ");
  if (words[0] === "compact") {
    const bytes = toBinary(
      CompactionRequestSchema,
      create(CompactionRequestSchema, { revision: BigInt(words[1]) }),
    );
    const { errorId } = fixture.answer(fixture.apply(RaftField.compaction, bytes));
    return errorId === ErrorId.none ? "compacted" : ERRORS[errorId]?.message;
  }
  const txn =
    words[0] === "txn"
      ? parseTxn(lines, 0)
      : create(TxnRequestSchema, { success: [parseOp(lines, words, 0)] });
  const bytes = toBinary(TxnRequestSchema, txn);
  const refused = checkTxn(bytes, 0, bytes.length, 128);
  if (refused !== ErrorId.none) return `refused: ${ERRORS[refused]?.message}`;
  const isWrite = classifyTxn(bytes, 0, bytes.length) === TxnRoute.write;
  const id = isWrite ? fixture.apply(RaftField.txn, bytes) : fixture.read(ReadKind.txn, bytes);
  const answer = fixture.answer(id);
  if (answer.errorId !== ErrorId.none) return ERRORS[answer.errorId]?.message;
  return showTxn(fromBinary(TxnResponseSchema, answer.bytes), "").join("\n");
}

function runTrace(trace: string): string {
  const source = new MemorySource();
  const store = createMvccStore({ source, sink: source, valueBytesMax: 1 << 20 });
  const fixture = new MachineFixture(store, new TestLeases([7n]));
  const blocks = trace.trimEnd().split("\n\n");
  const done = blocks.map((block) => {
    const [command] = block.split("\n----") as [string];
    const request = command.replaceAll(/^#.*\n/gm, "");
    return `${command}\n----\n${runCommand(fixture, request)}`;
  });
  return `${done.join("\n\n")}\n`;
}

const testdata = new URL("testdata/", import.meta.url);
for (const name of readdirSync(testdata).filter((file) => file.startsWith("txn-"))) {
  const url = new URL(name, testdata);
  if (process.argv.includes("--rewrite")) writeFileSync(url, runTrace(readFileSync(url, "utf8")));
  else
    test(`trace ${name}`, () => assert.equal(runTrace(readFileSync(url, "utf8")), readFileSync(url, "utf8")));
}
