/** The apply thread of a simulated member: the product's loop over the simulated database, wired as `workers/apply.worker.ts` wires it. */

import type { BucketSink } from "../../src/apply/apply-interfaces.ts";
import { ApplyLoop } from "../../src/apply/apply-loop.ts";
import { ApplyMachine } from "../../src/apply/apply-machine.ts";
import { LeaseDuties } from "../../src/apply/lease-duties.ts";
import { HashKvJobs } from "../../src/apply/hash-kv-jobs.ts";
import { MembershipFeed } from "../../src/apply/membership-feed.ts";
import { MembershipHook } from "../../src/apply/membership-hook.ts";
import { ProposerIds } from "../../src/apply/proposer-ids.ts";
import { RingResponseSink } from "../../src/apply/ring-response-sink.ts";
import { WatchAnswers } from "../../src/apply/watch-answers.ts";
import { type WatchFeed, WatchedSink } from "../../src/apply/watch-feed.ts";
import { Membership } from "../../src/cluster/membership.ts";
import { LeaseView } from "../../src/lease/lease-codec.ts";
import { type BackendReader, BUCKETS } from "../../src/mvcc/backend.ts";
import { type Mvcc, createMvccStore } from "../../src/mvcc/mvcc.ts";
import { type MemberIdentity, responseHeader } from "../../src/proto/response-header.ts";
import type { RingReader } from "../../src/ring/ring.ts";
import { HashKv } from "../../src/storage/hash-kv.ts";
import type { RecoveredState } from "../../src/storage/recover.ts";
import { RingSink, type StorageSink } from "../../src/storage/revision-sink.ts";
import { type CommittedHistory, RecordedSink } from "./committed-history.ts";
import type { MemberRings } from "./member-rings.ts";
import { ObservedLessor, type ObservedLessorOptions } from "./observed-lessor.ts";
import type { SimulatedDatabase } from "./simulated-database.ts";

const VALUE_CACHE_BYTES = 4 * 1024 * 1024;
const VALUE_CHUNK_BYTES = 64 * 1024;
const LEARNERS_MAX = 1;
/** As the raft thread's: ten ticks. */
const ELECTION_TIMEOUT_MS = 1000;

/** The state that the thread begins with. */
export interface ApplyStart {
  readonly recovered: RecoveredState;
  readonly store: Mvcc;
  readonly membership: Membership;
  readonly lessor: ObservedLessor;
  readonly sink: StorageSink;
  readonly reader: BackendReader;
}

export interface ApplyStateOptions {
  readonly database: SimulatedDatabase;
  readonly rings: MemberRings;
  readonly member: string;
  readonly watch: WatchFeed;
  readonly history: CommittedHistory;
  readonly lessor: ObservedLessorOptions;
}

/** Reads the state from the database, as `workers/apply-state.ts` does without an index checkpoint. */
export function openApplyState(options: ApplyStateOptions): ApplyStart {
  const { database, rings, member, watch, history } = options;
  const reader = database.reader();
  const recovered = database.recovered();
  const sink = new RingSink(rings.applyToStorage);
  const store = createMvccStore({
    source: reader,
    sink: new RecordedSink(new WatchedSink(sink, watch), history, member),
    valueBytesMax: VALUE_CACHE_BYTES,
    valueChunkBytes: VALUE_CHUNK_BYTES,
  });
  reader.scanRevisions(1, (main, sub, tombstone, bytes, length) => {
    if (!store.restoreRevision(main, sub, tombstone, bytes.subarray(0, length))) {
      throw new Error(`revision ${main}/${sub} in the database is damaged`);
    }
    return true;
  });
  store.finishRestore({
    scheduledCompactRevision: recovered.scheduledCompactRev,
    finishedCompactRevision: recovered.finishedCompactRev,
  });
  return {
    recovered,
    store,
    membership: restoreMembership(recovered),
    lessor: restoreLeases(options.lessor, reader, store),
    sink,
    reader,
  };
}

function restoreLeases(options: ObservedLessorOptions, reader: BackendReader, store: Mvcc): ObservedLessor {
  const lessor = new ObservedLessor(options);
  const view = new LeaseView();
  reader.scan("lease", (_key, value) => {
    if (!view.decodeLease(value)) throw new Error("a lease in the database is damaged");
    lessor.restore(view.low, view.high, view.seconds, view.second);
  });
  if (lessor.size > 0) store.visitLeased((keyId, low, high) => lessor.attach(low, high, keyId));
  return lessor;
}

function restoreMembership(recovered: RecoveredState): Membership {
  const membership = new Membership();
  const version = recovered.cluster.find(({ key }) => Buffer.from(key).toString() === "clusterVersion");
  const text = version === undefined ? "" : Buffer.from(version.value).toString();
  membership.restore(recovered.members, recovered.membersRemoved, text);
  return membership;
}

export interface ApplyOptions {
  readonly start: ApplyStart;
  readonly database: SimulatedDatabase;
  readonly rings: MemberRings;
  readonly identity: MemberIdentity;
  readonly firstRequestId: number;
  /** Where the log ended at start. */
  readonly lastIndex: number;
  readonly lastTerm: number;
  /** `raftToApply` as the checkers see it. */
  readonly fromRaft: RingReader;
  readonly watch: WatchFeed;
  /** The member's own clock. */
  readonly nowMs: () => number;
}

export function createApplyLoop(options: ApplyOptions): ApplyLoop {
  const { rings, identity, database, fromRaft, start, watch, nowMs } = options;
  const { store, membership, sink, recovered, lessor, reader } = start;
  const responses = new RingResponseSink(rings.applyToMain);
  const feed = new MembershipFeed(rings.applyToRaft, rings.applyToMain);
  const ids = new ProposerIds({
    memberId: identity.memberId,
    bootId: options.firstRequestId,
    bootIndex: options.lastIndex,
    bootTerm: options.lastTerm,
  });
  const log = (): void => undefined;
  const machine = new ApplyMachine({
    store,
    clusterId: identity.clusterId,
    memberId: identity.memberId,
    responses,
    buckets: namedBuckets(sink),
    requests: new MembershipHook({
      membership,
      identity,
      learnersMax: LEARNERS_MAX,
      buckets: sink,
      responses,
      ids,
      feed,
      log,
    }),
    leases: { lessor, nowMs, persistsCheckpoints: () => true },
    consistentIndex: recovered.consistentIndex,
    consistentTerm: recovered.term,
    ids,
    compactionPending: recovered.scheduledCompactRev > recovered.finishedCompactRev,
  });
  const hashes = new HashKvJobs(
    {
      store,
      responses,
      openScan: ({ revision, compactRevision }, keeps) => {
        const scan = new HashKv(database.reader(), { revision, compactRevision, keeps });
        return {
          step: (recordsMax) => scan.step(recordsMax),
          get hash() {
            return scan.hash;
          },
          close: () => undefined,
        };
      },
      header: () => responseHeader(identity, store.revision, machine.appliedTerm),
      requestCommit: () => sink.flush(0),
    },
    store.revision,
  );
  const answers = new WatchAnswers({ store, reader, toWatch: rings.applyToWatch });
  watch.attach({ store, answers, requestCommit: () => sink.flush(0) });
  return new ApplyLoop({
    machine,
    hashes,
    store,
    membership,
    identity,
    fromRaft,
    fromMain: rings.mainToApply,
    fromStorage: rings.storageToApply,
    toRaft: rings.applyToRaft,
    toMain: rings.applyToMain,
    feed,
    watch,
    storage: sink,
    direct: null,
    leaseDuties:
      machine.leases &&
      new LeaseDuties({
        leases: machine.leases,
        toMain: rings.applyToMain,
        electionTimeoutMs: ELECTION_TIMEOUT_MS,
      }),
    nowMs,
    onCommitted: () => reader.refresh(),
  });
}

/** The apply machine names buckets by number, the sinks by name. */
function namedBuckets(sink: StorageSink): BucketSink {
  return {
    bucketPut: (bucket, key, value) => sink.put(BUCKETS[bucket], key, value),
    bucketDelete: (bucket, key) => sink.delete(BUCKETS[bucket], key),
    flush: (token) => sink.flush(token),
  };
}
