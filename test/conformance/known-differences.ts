/**
 * Where etcd's own releases answer differently from 3.6, the version we follow. Such an operation is not sent when the
 * reference is of a release that still has the older behaviour and the two stores would drift apart by it.
 * Everything that is not listed here must be answered alike.
 */
import type { PutRequest, RangeRequest, WatchCreateRequest } from "../../src/proto/gen/rpc_pb.ts";
import { deletesAndPuts, opsOf, type Operation, type StoreView } from "./operations.ts";

interface KnownDifference {
  readonly what: string;
  /** First release that behaves as we do, as [major, minor]; absent if none does yet. */
  readonly since?: readonly [number, number];
  /** Operations that would let the two stores drift apart: not sent. */
  readonly omits?: (operation: Operation) => boolean;
  /** Two different answers (texts of outcomes) that leave both stores as they were: accepted. */
  readonly excuses?: (operation: Operation, ours: string, theirs: string) => boolean;
}

const REVISION_ERRORS: ReadonlySet<string> = new Set([
  "error 11: etcdserver: mvcc: required revision has been compacted",
  "error 11: etcdserver: mvcc: required revision is a future revision",
]);

const KNOWN_DIFFERENCES: readonly KnownDifference[] = [
  {
    what: "a sort order or target outside the enum is not refused before 3.6 (ErrGRPCInvalidSortOption is new there)",
    since: [3, 6],
    omits: (operation) => rangesOf(operation).some((range) => range.sortOrder > 2 || range.sortTarget > 4),
  },
  {
    what: "a transaction with a bad revision and a put that names a missing lease, or a missing key with ignore_*: before 3.6 puts were checked before ranges",
    since: [3, 6],
    excuses: (operation, ours, theirs) =>
      operation.method === "Txn" &&
      REVISION_ERRORS.has(ours) &&
      (theirs === "error 3: etcdserver: key not found" ||
        theirs === "error 5: etcdserver: requested lease not found"),
  },
  {
    what: "a transaction that deletes a key and then puts it with ignore_value or ignore_lease: etcd's process ends",
    omits: (operation) =>
      deletesAndPuts(operation) && putsOf(operation).some((put) => put.ignoreValue || put.ignoreLease),
  },
];

/** True if a reference of this version would answer the operation unlike etcd 3.6 and drift away by it. */
export function isOmitted(operation: Operation, version: string): boolean {
  return differencesFor(version).some(({ omits }) => omits?.(operation) ?? false);
}

/** True if answers that differ are known to differ so, with a reference of this version. */
export function isExcused(
  operation: Operation,
  version: string,
  answers: { ours: string; theirs: string },
): boolean {
  return differencesFor(version).some(
    ({ excuses }) => excuses?.(operation, answers.ours, answers.theirs) ?? false,
  );
}

/**
 * True if a reference of this version would answer this request for a watch unlike 3.6: before it, a negative start was a
 * revision like any other, and a compaction deleted the tombstones of its own revision.
 */
export function isOmittedWatch(request: WatchCreateRequest, view: StoreView, version: string): boolean {
  if (isAtLeast(version, [3, 6])) return false;
  const start = Number(request.startRevision);
  return start < 0 || (start > 0 && start <= view.compactRevision);
}

/** Before 3.6.2 progress was told on request even while watches were behind or waited for the future. */
export function refusesEarlyProgress(version: string): boolean {
  return isAtLeast(version, [3, 6]);
}

export function isAtLeast(version: string, since: readonly [number, number]): boolean {
  const [major = 0, minor = 0] = version.split(".").map(Number);
  return major > since[0] || (major === since[0] && minor >= since[1]);
}

/** The differences that concern a reference of this version. */
export function differencesFor(version: string): KnownDifference[] {
  return KNOWN_DIFFERENCES.filter(({ since }) => since === undefined || !isAtLeast(version, since));
}

function putsOf(operation: Operation): PutRequest[] {
  if (operation.method !== "Txn") return [];
  return opsOf(operation.request).flatMap(({ request }) =>
    request.case === "requestPut" ? [request.value] : [],
  );
}

function rangesOf(operation: Operation): RangeRequest[] {
  if (operation.method === "Range") return [operation.request];
  if (operation.method !== "Txn") return [];
  return opsOf(operation.request).flatMap(({ request }) =>
    request.case === "requestRange" ? [request.value] : [],
  );
}
