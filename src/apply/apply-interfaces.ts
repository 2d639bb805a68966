/** What the apply layer needs from outside, as interfaces: rings, storage, and the parts of the state that live elsewhere. */

/**
 * Takes answers; on a ring to the main thread, or in memory. Request ids are the low 48 bits of etcd's. All methods may wait
 * for room (workers may), so none of them fails; {@link hasRoom} lets slices of big answers avoid that wait.
 */
export interface ResponseSink {
  /**
   * Room for a whole answer of up to `length` bytes (at most {@link reserveBytesMax}): returns the offset in {@link bytes}
   * to write it at. The next call on the sink is {@link commit}, with the length it has; or any other, which gives the room back.
   */
  reserve(length: number): number;
  /** The memory that {@link reserve} points into; read it anew after each reserve. */
  readonly bytes: Uint8Array;
  readonly reserveBytesMax: number;
  /** Sends what was written since {@link reserve}. */
  commit(requestId: number, length: number): void;
  /** A whole answer of any length; the bytes are borrowed. */
  respond(requestId: number, bytes: Uint8Array, start: number, end: number): void;
  fail(requestId: number, errorId: number): void;
  /** An answer of `totalBytes` follows in pieces. */
  streamHead(requestId: number, totalBytes: number): void;
  /** Next piece; the bytes are borrowed. */
  streamData(requestId: number, bytes: Uint8Array, start: number, end: number): void;
  /** Whether so many bytes could be sent now without waiting. */
  hasRoom(length: number): boolean;
}

/** Takes changes of buckets other than `key`, in the order of the log. `bucket` is an index into storage's BUCKETS. */
export interface BucketSink {
  bucketPut(bucket: number, key: Uint8Array, value: Uint8Array): void;
  bucketDelete(bucket: number, key: Uint8Array): void;
  /** Asks storage to commit at once; `storageCommitted(token)` of the machine is called when it has. Tokens ascend. */
  flush(token: number): void;
}

/** The lessor as writes see it. Lease ids are int64 in two unsigned halves, key ids those of the store. */
export interface LeaseHooks {
  has(leaseLow: number, leaseHigh: number): boolean;
  /** Number of keys attached to any lease; 0 spares looking for what to detach. */
  readonly attachedKeys: number;
  /** The key is on this lease now, whatever it was on before; both halves 0: on none. */
  attach(leaseLow: number, leaseHigh: number, keyId: number): void;
  /** The key is deleted. */
  detach(keyId: number): void;
}

/** The lessor of a member that knows no leases. */
export const NO_LEASES: LeaseHooks = {
  has: () => false,
  attachedKeys: 0,
  attach: () => {},
  detach: () => {},
};

/** Where an entry stands, for hooks. One object, filled again and again. */
export interface EntryPosition {
  readonly index: number;
  readonly term: number;
  /** The entry is at or below the consistent index that storage had at start: what it changes is there already. */
  readonly replayed: boolean;
}

/** Requests that are not KV: membership (1300 to 1302), and later leases, auth and alarms. */
export interface RequestHook {
  /**
   * Applies the payload `bytes[start, end)` of `field`. `requestId` is -1 when nobody here waits; else the hook answers
   * through the sink it was made with. Returns false if it does not know the field.
   */
  applyRequest(
    field: number,
    bytes: Uint8Array,
    start: number,
    end: number,
    requestId: number,
    at: EntryPosition,
  ): boolean;
  /** A v2 Request, as etcd 3.5 and older write it (interop 2.7). */
  applyV2Request(bytes: Uint8Array, start: number, end: number, at: EntryPosition): void;
  /** raftpb.ConfChange (entry type 1) or ConfChangeV2 (2) in `bytes[start, end)`, replayed ones included; the hook answers. */
  applyConfChange(entryType: number, bytes: Uint8Array, start: number, end: number, at: EntryPosition): void;
  /** The empty entry that a leader begins its term with. */
  applyEmptyEntry(at: EntryPosition): void;
}
