/**
 * The index as raw arrays, so that a restart loads it instead of building it from every record. Values are not included. Layout:
 *
 *     chunk 0   header: doubles, see HEADER; the counts say which chunks follow
 *     then      key records, key bytes, state of the key arena, hash segments, history slots, leaves, inner nodes, queue
 *
 * A checkpoint is only as good as the file it comes from: whoever writes it adds a checksum, and writes it after storage has
 * committed everything up to its revision, compaction's deletions included.
 */
import { KEY_DOUBLES, LOCATION } from "./key-table.ts";
import { SLOT_DOUBLES, SLOT_LOCATION } from "./history.ts";
import type { MvccState } from "./mvcc-state.ts";
import type { SlotPool } from "./slot-pool.ts";
import { NOT_IN_MEMORY } from "./value-arena.ts";

/** "mvcc" and the version of all layouts in this folder: raise it with any change of a record, slot or node. */
const MAGIC = 0x6d76_6363;
export const CHECKPOINT_LAYOUT = 1;

/** Positions in the header. Each pool has used, freeHead, freeCount and its number of chunks from its position on. */
const HEADER = {
  magic: 0,
  layout: 1,
  revision: 2,
  compactRevision: 3,
  physicalRevision: 4,
  hashSeed: 5,
  root: 6,
  height: 7,
  lastLeaf: 8,
  live: 9,
  keys: 10,
  history: 14,
  leaves: 18,
  inners: 22,
  arenaChunks: 26,
  hashChunks: 27,
} as const;
const HEADER_DOUBLES = 28;

/** Why a checkpoint was refused. */
export type CheckpointRefusal = "layout" | "lengths" | "older than the compaction" | "newer than the backend";

/** What the backend holds, to judge a checkpoint by. */
export interface BackendRevisions {
  /** Greatest revision in the backend. */
  readonly revision: number;
  /** `scheduledCompactRev`, -1 if none. */
  readonly scheduledCompactRevision: number;
}

const POOLS = ["keys", "history", "leaves", "inners"] as const;

function poolOf(state: MvccState, name: (typeof POOLS)[number]): SlotPool {
  switch (name) {
    case "keys":
      return state.table.pool;
    case "history":
      return state.history.pool;
    case "leaves":
      return state.tree.leaves;
    case "inners":
      return state.tree.inners;
  }
}

/** The checkpoint of `state` as views of its memory, borrowed until the next write. No write txn may be open. */
export function serializeState(state: MvccState): Uint8Array[] {
  const header = new Float64Array(HEADER_DOUBLES);
  const chunks: Uint8Array[] = [new Uint8Array(header.buffer)];
  for (const name of POOLS) {
    const pool = poolOf(state, name);
    const views = pool.views();
    header.set([pool.used, pool.freeHead, pool.freeCount, views.length], HEADER[name]);
    chunks.push(...views);
  }
  const arena = state.table.arena.save();
  const segments = state.hash.views();
  chunks.push(
    ...arena.views,
    new Uint8Array(arena.state.buffer),
    ...segments,
    new Uint8Array(state.queue.toArray().buffer),
  );
  header[HEADER.magic] = MAGIC;
  header[HEADER.layout] = CHECKPOINT_LAYOUT;
  header[HEADER.revision] = state.revision;
  header[HEADER.compactRevision] = state.compactRevision;
  header[HEADER.physicalRevision] = state.physicalRevision;
  header[HEADER.hashSeed] = state.hashSeed;
  header[HEADER.root] = state.tree.root;
  header[HEADER.height] = state.tree.height;
  header[HEADER.lastLeaf] = state.tree.lastLeaf;
  header[HEADER.live] = state.tree.live;
  header[HEADER.arenaChunks] = arena.views.length;
  header[HEADER.hashChunks] = segments.length;
  return chunks;
}

/** The header of a checkpoint, or why it cannot be used. The hash seed has to be known before a state is made. */
export function readHeader(
  chunks: readonly Uint8Array[],
  backend: BackendRevisions,
): { refusal: CheckpointRefusal } | { header: Float64Array; hashSeed: number } {
  const first = chunks[0];
  if (first === undefined || first.length !== HEADER_DOUBLES * 8) return { refusal: "layout" };
  const header = doublesOf(first);
  if (header[HEADER.magic] !== MAGIC || header[HEADER.layout] !== CHECKPOINT_LAYOUT)
    return { refusal: "layout" };
  const revision = header[HEADER.revision];
  // Revisions between it and the compaction may be gone from the backend, and the keys they deleted would come back.
  if (revision < backend.scheduledCompactRevision) return { refusal: "older than the compaction" };
  if (revision > backend.revision) return { refusal: "newer than the backend" };
  return { header, hashSeed: header[HEADER.hashSeed] };
}

/** Fills a new state from a checkpoint whose header was read; false if lengths do not fit (the state is unusable then). */
export function loadState(state: MvccState, header: Float64Array, chunks: readonly Uint8Array[]): boolean {
  let next = 1;
  for (const name of POOLS) {
    const at = HEADER[name];
    const views = chunks.slice(next, next + header[at + 3]);
    next += header[at + 3];
    const pool = poolOf(state, name);
    pool.reset();
    if (!pool.load(views, header[at], header[at + 1], header[at + 2])) return false;
  }
  const arenaChunks = header[HEADER.arenaChunks];
  const hashChunks = header[HEADER.hashChunks];
  if (!(next + arenaChunks + 1 + hashChunks + 1 === chunks.length)) return false;
  const arenaState = chunks[next + arenaChunks];
  if (arenaState.length % 8 !== 0) return false;
  if (!state.table.arena.load(chunks.slice(next, next + arenaChunks), doublesOf(arenaState))) return false;
  next += arenaChunks + 1;
  if (!state.hash.load(chunks.slice(next, next + hashChunks))) return false;
  const queue = chunks[next + hashChunks];
  if (queue.length % 4 !== 0) return false;
  for (const id of new Uint32Array(queue.slice().buffer)) {
    if (id === 0 || id >= state.table.pool.used) return false;
    state.queue.push(id);
  }
  if (!loadTree(state, header)) return false;
  forgetLocations(state.table.pool, KEY_DOUBLES, LOCATION);
  forgetLocations(state.history.pool, SLOT_DOUBLES, SLOT_LOCATION);
  state.revision = header[HEADER.revision];
  state.compactRevision = header[HEADER.compactRevision];
  state.physicalRevision = header[HEADER.physicalRevision];
  return true;
}

function loadTree({ tree, hash, table }: MvccState, header: Float64Array): boolean {
  tree.root = header[HEADER.root];
  tree.height = header[HEADER.height];
  tree.lastLeaf = header[HEADER.lastLeaf];
  tree.live = header[HEADER.live];
  if (tree.root === 0 || tree.root >= (tree.height === 0 ? tree.leaves : tree.inners).used) return false;
  return tree.lastLeaf !== 0 && tree.lastLeaf < tree.leaves.used && hash.count === table.pool.live;
}

function forgetLocations(pool: SlotPool, doublesASlot: number, field: number): void {
  for (const [chunk, doubles] of pool.doubles.entries()) {
    const slots = Math.min(pool.mask + 1, pool.used - (chunk << pool.shift));
    for (let at = field, end = slots * doublesASlot; at < end; at += doublesASlot)
      doubles[at] = NOT_IN_MEMORY;
  }
}

/** A copy, as the bytes may not lie on a multiple of 8. */
function doublesOf(bytes: Uint8Array): Float64Array {
  return new Float64Array(bytes.slice().buffer);
}
