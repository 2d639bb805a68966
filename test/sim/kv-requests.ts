/** The clients' requests and answers as bytes, and as operations of a history. */

import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import {
  CompactionRequestSchema,
  Compare_CompareResult,
  Compare_CompareTarget,
  DeleteRangeRequestSchema,
  DeleteRangeResponseSchema,
  PutRequestSchema,
  PutResponseSchema,
  RangeRequestSchema,
  type RangeResponse,
  RangeResponseSchema,
  TxnRequestSchema,
  TxnResponseSchema,
} from "../../src/proto/gen/rpc_pb.ts";
import { RaftField } from "../../src/proto/raft-request.ts";
import { ReadKind } from "../../src/ring/record-types.ts";
import type { OperationInput, OperationKind, OperationOutput } from "./linearizability.ts";

/** A request as main puts it into a ring. */
export interface KvRequest {
  /** Payload field of the proposal; 0 = a read of kind {@link ReadKind}. */
  readonly field: number;
  readonly readKind: number;
  readonly payload: Uint8Array;
}

const utf8 = new TextEncoder();
const text = new TextDecoder();

export function encodeRequest(op: OperationKind, key: string, input: OperationInput): KvRequest {
  const bytes = utf8.encode(key);
  switch (op) {
    case "get":
      return {
        field: 0,
        readKind: ReadKind.range,
        payload: toBinary(RangeRequestSchema, create(RangeRequestSchema, { key: bytes })),
      };
    case "put":
      return proposal(RaftField.put, toBinary(PutRequestSchema, createPut(bytes, input)));
    case "delete":
      return proposal(
        RaftField.deleteRange,
        toBinary(DeleteRangeRequestSchema, create(DeleteRangeRequestSchema, { key: bytes, prevKv: true })),
      );
    case "cas":
      return proposal(RaftField.txn, encodeCompareAndSet(bytes, input));
  }
}

export function encodeCompaction(revision: number): KvRequest {
  const request = create(CompactionRequestSchema, { revision: BigInt(revision) });
  return proposal(RaftField.compaction, toBinary(CompactionRequestSchema, request));
}

function proposal(field: number, payload: Uint8Array): KvRequest {
  return { field, readKind: 0, payload };
}

function createPut(key: Uint8Array, input: OperationInput) {
  return create(PutRequestSchema, { key, value: utf8.encode(input.value) });
}

function encodeCompareAndSet(key: Uint8Array, input: OperationInput): Uint8Array {
  const expected = input.expected ?? null;
  const compare =
    expected === null
      ? { target: Compare_CompareTarget.VERSION, targetUnion: { case: "version" as const, value: 0n } }
      : {
          target: Compare_CompareTarget.VALUE,
          targetUnion: { case: "value" as const, value: utf8.encode(expected) },
        };
  const txn = create(TxnRequestSchema, {
    compare: [{ key, result: Compare_CompareResult.EQUAL, ...compare }],
    success: [{ request: { case: "requestPut", value: createPut(key, input) } }],
    failure: [{ request: { case: "requestRange", value: create(RangeRequestSchema, { key }) } }],
  });
  return toBinary(TxnRequestSchema, txn);
}

/** What the answer's bytes say. */
export function decodeAnswer(op: OperationKind, bytes: Uint8Array): OperationOutput {
  switch (op) {
    case "get":
      return rangeOutput(fromBinary(RangeResponseSchema, bytes), undefined);
    case "put":
      return { revision: Number(fromBinary(PutResponseSchema, bytes).header?.revision) };
    case "delete": {
      const { header, deleted, prevKvs } = fromBinary(DeleteRangeResponseSchema, bytes);
      const value = prevKvs.length === 0 ? null : text.decode(prevKvs[0].value);
      return {
        revision: Number(header?.revision),
        succeeded: deleted > 0n,
        value,
        modRevision: Number(prevKvs[0]?.modRevision ?? 0),
      };
    }
    case "cas": {
      const { header, succeeded, responses } = fromBinary(TxnResponseSchema, bytes);
      const revision = Number(header?.revision);
      const [response] = responses;
      if (succeeded || response?.response.case !== "responseRange") return { revision, succeeded };
      return { ...rangeOutput(response.response.value, revision), succeeded };
    }
  }
}

function rangeOutput({ header, kvs }: RangeResponse, outerRevision: number | undefined): OperationOutput {
  const revision = outerRevision ?? Number(header?.revision);
  if (kvs.length === 0) return { revision, value: null };
  return { revision, value: text.decode(kvs[0].value), modRevision: Number(kvs[0].modRevision) };
}
