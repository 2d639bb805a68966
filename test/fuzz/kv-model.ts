/**
 * etcd's KV service as simply as it can be written, on decoded messages: the model that answers of the apply layer are
 * compared with. It shares no code with what it checks but the order in which Go sorts equal elements.
 */
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { ErrorId } from "../../src/base/errors.ts";
import { goSort } from "../../src/apply/go-sort.ts";
import type { KeyValue } from "../../src/proto/gen/kv_pb.ts";
import { KeyValueSchema } from "../../src/proto/gen/kv_pb.ts";
import {
  type Compare,
  DeleteRangeResponseSchema,
  PutResponseSchema,
  RangeResponseSchema,
  type RequestOp,
  type ResponseHeaderSchema,
  ResponseOpSchema,
  TxnResponseSchema,
  type DeleteRangeRequest,
  type DeleteRangeResponse,
  type PutRequest,
  type PutResponse,
  type RangeRequest,
  type RangeResponse,
  type TxnRequest,
  type TxnResponse,
} from "../../src/proto/gen/rpc_pb.ts";
import { toKeyBytes, toKeyText } from "./naive-store.ts";

/** A state: live keys. Each revision keeps a whole copy. */
type State = Map<string, KeyValue>;

/** Thrown where etcd returns an error. */
export class ModelError extends Error {
  readonly errorId: number;
  constructor(errorId: number) {
    super(`error ${errorId}`);
    this.errorId = errorId;
  }
}

/** What one write txn sees and makes. */
interface Write {
  readonly state: State;
  changed: boolean;
}

export class KvModel {
  revision = 1;
  compactRevision = -1;
  readonly #states: State[] = [new Map(), new Map()];
  readonly #header: (revision: bigint) => MessageInitShape<typeof ResponseHeaderSchema>;
  readonly leases = new Set<bigint>();

  /** `header`: the whole header of an answer at a revision. */
  constructor(header: (revision: bigint) => MessageInitShape<typeof ResponseHeaderSchema>) {
    this.#header = header;
  }

  put(request: PutRequest): PutResponse {
    if (request.lease !== 0n && !this.leases.has(request.lease)) throw new ModelError(ErrorId.leaseNotFound);
    const write = this.#begin();
    const response = this.#put(write, request);
    this.#end(write);
    response.header = this.#fullHeader();
    return response;
  }

  deleteRange(request: DeleteRangeRequest): DeleteRangeResponse {
    const write = this.#begin();
    const response = this.#deleteRange(write, request);
    this.#end(write);
    response.header = this.#fullHeader();
    return response;
  }

  range(request: RangeRequest): RangeResponse {
    const response = this.#range(this.#current(), this.revision, request);
    response.header = this.#fullHeader();
    return response;
  }

  txn(request: TxnRequest): TxnResponse {
    const paths = new Map<TxnRequest, boolean>();
    this.#choose(request, paths);
    this.#check(request, paths);
    const write = this.#begin();
    const response = this.#execute(write, request, paths);
    this.#end(write);
    response.header = this.#fullHeader();
    return response;
  }

  compact(revision: number): void {
    if (revision <= this.compactRevision) throw new ModelError(ErrorId.compacted);
    if (revision > this.revision) throw new ModelError(ErrorId.futureRev);
    this.compactRevision = revision;
  }

  #current(): State {
    return this.#states[this.revision];
  }

  #fullHeader() {
    return create(PutResponseSchema, { header: this.#header(BigInt(this.revision)) }).header as NonNullable<
      PutResponse["header"]
    >;
  }

  #opHeader(write: Write) {
    const revision = BigInt(this.revision + (write.changed ? 1 : 0));
    return create(PutResponseSchema, { header: { revision } }).header as NonNullable<PutResponse["header"]>;
  }

  #begin(): Write {
    return { state: new Map(this.#current()), changed: false };
  }

  #end(write: Write): void {
    if (!write.changed) return;
    this.revision++;
    this.#states[this.revision] = write.state;
  }

  #put(write: Write, request: PutRequest): PutResponse {
    const key = toKeyText(request.key);
    const previous = write.state.get(key);
    if ((request.ignoreValue || request.ignoreLease) && previous === undefined)
      throw new ModelError(ErrorId.keyNotFound);
    const main = BigInt(this.revision + 1);
    write.state.set(
      key,
      create(KeyValueSchema, {
        key: request.key,
        value: request.ignoreValue ? previous!.value : request.value,
        lease: request.ignoreLease ? previous!.lease : request.lease,
        createRevision: previous?.createRevision ?? main,
        modRevision: main,
        version: (previous?.version ?? 0n) + 1n,
      }),
    );
    write.changed = true;
    const response = create(PutResponseSchema, { header: this.#opHeader(write) });
    if (request.prevKv && previous !== undefined) response.prevKv = previous;
    return response;
  }

  #deleteRange(write: Write, request: DeleteRangeRequest): DeleteRangeResponse {
    const kvs = select(write.state, request.key, request.rangeEnd);
    for (const kv of kvs) write.state.delete(toKeyText(kv.key));
    if (kvs.length > 0) write.changed = true;
    return create(DeleteRangeResponseSchema, {
      header: this.#opHeader(write),
      deleted: BigInt(kvs.length),
      prevKvs: request.prevKv ? kvs : [],
    });
  }

  #range(state: State, current: number, request: RangeRequest): RangeResponse {
    if (request.revision > BigInt(current)) throw new ModelError(ErrorId.futureRev);
    if (request.revision > 0n && request.revision < BigInt(this.compactRevision))
      throw new ModelError(ErrorId.compacted);
    // In a txn that has written, the next revision is the txn's own state.
    const old = request.revision > 0n && request.revision <= BigInt(this.revision);
    const at = old ? this.#states[Number(request.revision)] : state;
    const all = select(at, request.key, request.rangeEnd);
    const response = create(RangeResponseSchema, { count: BigInt(all.length) });
    if (request.countOnly) return response;
    let kvs = sortKvs(filterKvs(this.#fetch(all, request), request), request);
    if (request.limit > 0n && BigInt(kvs.length) > request.limit) {
      response.more = true;
      kvs = kvs.slice(0, Number(request.limit));
    }
    response.kvs = kvs.map((kv) => (request.keysOnly ? { ...kv, value: new Uint8Array(0) } : kv));
    return response;
  }

  #fetch(all: KeyValue[], request: RangeRequest): KeyValue[] {
    const filters = [
      request.minModRevision,
      request.maxModRevision,
      request.minCreateRevision,
      request.maxCreateRevision,
    ];
    const everything =
      request.sortOrder !== 0 || filters.some((filter) => filter !== 0n) || request.limit <= 0n;
    return everything ? all : all.slice(0, Number(request.limit) + 1);
  }

  #choose(request: TxnRequest, paths: Map<TxnRequest, boolean>): void {
    const succeeded = request.compare.every((compare) => this.#compare(compare));
    paths.set(request, succeeded);
    for (const op of succeeded ? request.success : request.failure) {
      if (op.request.case === "requestTxn") this.#choose(op.request.value, paths);
    }
  }

  #compare(compare: Compare): boolean {
    const kvs = select(this.#current(), compare.key, compare.rangeEnd);
    if (kvs.length > 0) return kvs.every((kv) => compareKv(compare, kv));
    return compare.target !== 3 && compareKv(compare, create(KeyValueSchema));
  }

  #check(request: TxnRequest, paths: Map<TxnRequest, boolean>): void {
    for (const { request: op } of this.#path(request, paths)) {
      if (op.case === "requestRange") {
        const { revision } = op.value;
        if (revision > BigInt(this.revision)) throw new ModelError(ErrorId.futureRev);
        if (revision !== 0n && revision < BigInt(this.compactRevision))
          throw new ModelError(ErrorId.compacted);
      } else if (op.case === "requestPut") {
        const exists = this.#current().has(toKeyText(op.value.key));
        if ((op.value.ignoreValue || op.value.ignoreLease) && !exists)
          throw new ModelError(ErrorId.keyNotFound);
        if (op.value.lease !== 0n && !this.leases.has(op.value.lease))
          throw new ModelError(ErrorId.leaseNotFound);
      } else if (op.case === "requestTxn") this.#check(op.value, paths);
    }
  }

  #path(request: TxnRequest, paths: Map<TxnRequest, boolean>): RequestOp[] {
    return paths.get(request) === true ? request.success : request.failure;
  }

  #execute(write: Write, request: TxnRequest, paths: Map<TxnRequest, boolean>): TxnResponse {
    const response = create(TxnResponseSchema, { header: {}, succeeded: paths.get(request) === true });
    for (const { request: op } of this.#path(request, paths)) {
      const answer = create(ResponseOpSchema);
      if (op.case === "requestPut")
        answer.response = { case: "responsePut", value: this.#put(write, op.value) };
      else if (op.case === "requestDeleteRange") {
        answer.response = { case: "responseDeleteRange", value: this.#deleteRange(write, op.value) };
      } else if (op.case === "requestTxn") {
        answer.response = { case: "responseTxn", value: this.#execute(write, op.value, paths) };
      } else if (op.case === "requestRange") {
        const value = this.#range(write.state, this.revision + (write.changed ? 1 : 0), op.value);
        value.header = this.#opHeader(write);
        answer.response = { case: "responseRange", value };
      }
      response.responses.push(answer);
    }
    return response;
  }
}

function select(state: State, key: Uint8Array, rangeEnd: Uint8Array): KeyValue[] {
  const from = toKeyText(key);
  const to = toKeyText(rangeEnd);
  const isIn = (text: string): boolean => {
    if (to === "") return text === from;
    return text >= from && (to === "\0" || text < to);
  };
  return [...state.keys()]
    .filter(isIn)
    .toSorted()
    .map((text) => state.get(text) as KeyValue);
}

function filterKvs(kvs: KeyValue[], request: RangeRequest): KeyValue[] {
  const { minModRevision, maxModRevision, minCreateRevision, maxCreateRevision } = request;
  return kvs.filter(
    (kv) =>
      (maxModRevision === 0n || kv.modRevision <= maxModRevision) &&
      (minModRevision === 0n || kv.modRevision >= minModRevision) &&
      (maxCreateRevision === 0n || kv.createRevision <= maxCreateRevision) &&
      (minCreateRevision === 0n || kv.createRevision >= minCreateRevision),
  );
}

function sortKvs(kvs: KeyValue[], request: RangeRequest): KeyValue[] {
  if (request.sortTarget === 0 && request.sortOrder !== 2) return kvs;
  const by = (kv: KeyValue): string | bigint =>
    [toKeyText(kv.key), kv.version, kv.createRevision, kv.modRevision, toKeyText(kv.value)][
      request.sortTarget
    ];
  const keys = kvs.map(by);
  const isLess = (a: number, b: number): boolean => keys[a] < keys[b];
  const order = goSort(kvs.length, request.sortOrder === 2 ? (a, b) => isLess(b, a) : isLess);
  return Array.from(order, (index) => kvs[index]);
}

function compareKv(compare: Compare, kv: KeyValue): boolean {
  const union = compare.targetUnion;
  const operand = (wanted: string, zero: string | bigint): string | bigint => {
    if (union.case !== wanted) return zero;
    return typeof union.value === "bigint" ? union.value : toKeyText(union.value);
  };
  const sides: Array<[string | bigint, string | bigint]> = [
    [kv.version, operand("version", 0n)],
    [kv.createRevision, operand("createRevision", 0n)],
    [kv.modRevision, operand("modRevision", 0n)],
    [toKeyText(kv.value), operand("value", "")],
    [kv.lease, operand("lease", 0n)],
  ];
  const [a, b] = sides[compare.target] ?? [0n, 0n];
  switch (compare.result as number) {
    case 0:
      return a === b;
    case 1:
      return a > b;
    case 2:
      return a < b;
    case 3:
      return a !== b;
    default:
      return true;
  }
}

export { toKeyBytes, toKeyText };
