/**
 * Whether the members of the cluster hold the same data, by their HashKV: at start, now and then, and after compactions, each as
 * etcd does it. Who differs gets a CORRUPT alarm; at start, this member refuses to serve.
 *
 * Pure but for what {@link CorruptionHost} does; `corruption-host.ts` has the real one.
 */

import { formatId } from "../cluster/identity.ts";
import type { Logger } from "../telemetry/logger.ts";

/** A hash of a member's data. */
export interface MemberHash {
  /** The member's current revision. */
  readonly revision: number;
  readonly hash: number;
  /** -1 before any compaction. */
  readonly compactRevision: number;
  /** Revision of the hash. */
  readonly hashRevision: number;
}

/** Another member's answer. */
export interface PeerHash {
  readonly id: bigint;
  readonly urls: readonly string[];
  /** Null when there is none. */
  readonly hash: MemberHash | null;
  /** Why. */
  readonly error: Error | null;
}

/** The hash that was computed when the data was compacted. */
export type CompactionHash = Pick<MemberHash, "hash" | "compactRevision"> & { readonly revision: number };

/** What the checks need. */
export interface CorruptionHost {
  readonly memberId: bigint;
  /** This member's hash at a revision, 0 = the current one. */
  hash(revision: number): Promise<MemberHash>;
  /** Those of all others. Never rejects. */
  peerHashes(revision: number): Promise<readonly PeerHash[]>;
  /** Resolves when everything committed before is applied. */
  readIndex(): Promise<void>;
  /** Hashes of this member's recent compactions. */
  compactionHashes(): readonly CompactionHash[];
  /** Raises the alarm of a member; 0 = nobody knows whose. */
  raiseAlarm(memberId: bigint): void;
  readonly log: Logger;
}

/** At the start of a member with data: resolves when nothing speaks against serving; rejects when its data differs from a peer's. */
export async function checkAtStart(host: CorruptionHost): Promise<void> {
  const { log } = host;
  const localId = formatId(host.memberId);
  log.info("starting initial corruption check", { "local-member-id": localId });
  const own = await host.hash(0);
  let mismatches = 0;
  for (const peer of await host.peerHashes(own.hashRevision)) {
    const fields = {
      "local-member-id": localId,
      "local-member-revision": own.hashRevision,
      "local-member-compact-revision": own.compactRevision,
      "local-member-hash": own.hash,
      "remote-peer-id": formatId(peer.id),
      "remote-peer-endpoints": peer.urls,
    };
    if (peer.hash === null) {
      const text = peer.error === null ? undefined : reasonOfSilence(peer.error);
      if (text !== undefined) log.warn(text, { ...fields, error: peer.error });
      continue;
    }
    if (peer.hash.hash === own.hash) continue;
    const remote = {
      ...fields,
      "remote-peer-revision": peer.hash.revision,
      "remote-peer-compact-revision": peer.hash.compactRevision,
      "remote-peer-hash": peer.hash.hash,
    };
    if (peer.hash.compactRevision === own.compactRevision) {
      log.warn("found different hash values from remote peer", remote);
      mismatches++;
    } else log.warn("found different compact revision values from remote peer", remote);
  }
  if (mismatches > 0) throw new Error(`${localId} found data inconsistency with peers`);
  log.info("initial corruption checking passed; no corruption", { "local-member-id": localId });
}

function reasonOfSilence({ message }: Error): string | undefined {
  if (message.includes("required revision is a future revision"))
    return "cannot fetch hash from slow remote peer";
  if (message.includes("required revision has been compacted"))
    return "cannot fetch hash from remote peer; local member is behind";
  return message.includes("cluster ID mismatch") ? "cluster ID mismatch" : undefined;
}

/** On the leader: compares all data as it is now. At most one alarm a time. Rejects when this member cannot be hashed. */
export async function checkNow(host: CorruptionHost): Promise<void> {
  const { log } = host;
  const first = await host.hash(0);
  const peers = await host.peerHashes(first.hashRevision);
  await host.readIndex();
  const second = await host.hash(0);
  let alarmed = false;
  const mismatch = (id: bigint): void => {
    if (!alarmed) host.raiseAlarm(id);
    alarmed = true;
  };
  if (
    second.hash !== first.hash &&
    second.hashRevision === first.hashRevision &&
    second.compactRevision === first.compactRevision
  ) {
    log.warn("found hash mismatch", {
      "revision-1": first.hashRevision,
      "compact-revision-1": first.compactRevision,
      "hash-1": first.hash,
      "revision-2": second.hashRevision,
      "compact-revision-2": second.compactRevision,
      "hash-2": second.hash,
    });
    mismatch(host.memberId);
  }
  const answered = peers.filter((peer) => peer.hash !== null);
  for (const { id, hash } of answered)
    comparePeer(log, { id, hash: hash as MemberHash, first, second, mismatch });
  log.info("finished peer corruption check", { "number-of-peers-checked": answered.length });
}

interface Comparison {
  readonly id: bigint;
  readonly hash: MemberHash;
  readonly first: MemberHash;
  readonly second: MemberHash;
  readonly mismatch: (id: bigint) => void;
}

function comparePeer(log: Logger, { id, hash, first, second, mismatch }: Comparison): void {
  const peer = { "follower-peer-id": formatId(id) };
  if (hash.revision > second.revision) {
    log.warn("revision from follower must be less than or equal to leader's", {
      "leader-revision": second.revision,
      "follower-revision": hash.revision,
      ...peer,
    });
    mismatch(id);
  }
  if (hash.compactRevision > second.compactRevision) {
    log.warn("compact revision from follower must be less than or equal to leader's", {
      "leader-compact-revision": second.compactRevision,
      "follower-compact-revision": hash.compactRevision,
      ...peer,
    });
    mismatch(id);
  }
  if (hash.compactRevision === first.compactRevision && hash.hash !== first.hash) {
    log.warn("same compact revision then hashes must match", {
      "leader-compact-revision": second.compactRevision,
      "leader-hash": first.hash,
      "follower-compact-revision": hash.compactRevision,
      "follower-hash": hash.hash,
      ...peer,
    });
    mismatch(id);
  }
}

/** Compares the hashes that all members have computed at the same compaction. Keeps what it has seen to be equal. */
export class CompactionHashCheck {
  readonly #host: CorruptionHost;
  #checkedRevision = 0;

  constructor(host: CorruptionHost) {
    this.#host = host;
  }

  /** On the leader: newest compaction first, until one could be compared with all. */
  async run(): Promise<void> {
    const { log, memberId } = this.#host;
    log.info("starting compact hash check", { "local-member-id": formatId(memberId) });
    const hashes = this.#host
      .compactionHashes()
      .filter(({ revision }) => revision > this.#checkedRevision)
      .toSorted((a, b) => b.revision - a.revision);
    let checked = 0;
    for (const hash of hashes) {
      const peers = await this.#host.peerHashes(hash.revision);
      if (peers.length === 0) continue;
      checked++;
      if (this.#compare(hash, peers)) break;
    }
    log.info("finished compaction hash check", { "number-of-hashes-checked": checked });
  }

  /** True: nothing is left to be done, all are equal or alarms are raised. False: some could not be asked. */
  #compare(own: CompactionHash, peers: readonly PeerHash[]): boolean {
    const { log, memberId } = this.#host;
    const members = new Map<number, bigint[]>([[own.hash, [memberId]]]);
    let checked = 0;
    for (const { id, hash } of peers) {
      const reason = skipReason(own, hash);
      if (hash === null || reason !== "") {
        log.warn("Skipped peer's hash", {
          "number-of-peers": peers.length,
          "leader-id": formatId(memberId),
          "peer-id": formatId(id),
          reason,
        });
        continue;
      }
      checked++;
      const same = members.get(hash.hash);
      if (same === undefined) members.set(hash.hash, [id]);
      else same.push(id);
    }
    if (members.size > 1) this.#raise(own, members, peers.length + 1);
    else if (checked < peers.length) {
      log.warn("skipped revision in compaction hash check; was not able to check all peers", {
        "number-of-peers-checked": checked,
        "number-of-peers": peers.length,
        revision: own.revision,
        compactRevision: own.compactRevision,
      });
      return false;
    } else {
      log.info("successfully checked hash on whole cluster", {
        "number-of-peers-checked": checked,
        revision: own.revision,
        compactRevision: own.compactRevision,
      });
      this.#checkedRevision = Math.max(this.#checkedRevision, own.revision);
    }
    return true;
  }

  /** Whoever differs from the majority is corrupt; without a majority, nobody knows who. */
  #raise(own: CompactionHash, members: Map<number, bigint[]>, count: number): void {
    const { log, memberId } = this.#host;
    const quorum = Math.floor(count / 2) + 1;
    const majority = [...members].find(([, ids]) => ids.length >= quorum);
    const fields = {
      "leader-id": formatId(memberId),
      "leader-revision": own.revision,
      "leader-compact-revision": own.compactRevision,
      "leader-hash": own.hash,
    };
    if (majority === undefined) {
      log.error(
        "Detected compaction hash mismatch but cannot identify the corrupted members, so intentionally set the memberID as 0",
        fields,
      );
      this.#host.raiseAlarm(0n);
    } else members.delete(majority[0]);
    for (const [hash, ids] of members) {
      if (majority !== undefined) for (const id of ids) this.#host.raiseAlarm(id);
      log.error("Detected compaction hash mismatch", {
        ...fields,
        "peer-hash": hash,
        "peer-ids": ids.map(formatId).join(","),
        "quorum-exist": majority !== undefined,
      });
    }
  }
}

function skipReason(own: CompactionHash, hash: MemberHash | null): string {
  if (hash === null) return "no response";
  if (hash.compactRevision === own.compactRevision) return "";
  return `the peer's CompactRevision ${hash.compactRevision} doesn't match leader's CompactRevision ${own.compactRevision}`;
}
