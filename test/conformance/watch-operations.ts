/** The random watches of the differential test: every option, valid and not. */
import { create } from "@bufbuild/protobuf";
import type { Prng } from "../../src/base/prng.ts";
import { Event_EventType, type Event } from "../../src/proto/gen/kv_pb.ts";
import {
  WatchCreateRequestSchema,
  WatchCreateRequest_FilterType,
  type WatchCreateRequest,
} from "../../src/proto/gen/rpc_pb.ts";
import { FROM_KEY, KEYS, prefixEnd, type StoreView } from "./operations.ts";

const { NOPUT, NODELETE } = WatchCreateRequest_FilterType;
const FILTERS = [[], [], [], [NOPUT], [NODELETE], [NOPUT, NODELETE], [NODELETE, NODELETE]];
const NONE = new Uint8Array(0);

/** Draws a request for a watch. */
export function drawWatch(prng: Prng, view: StoreView): WatchCreateRequest {
  const key = prng.chance(0.03) ? NONE : prng.pick(KEYS);
  const start = drawStart(prng, view);
  return create(WatchCreateRequestSchema, {
    key,
    rangeEnd: drawRangeEnd(prng, key),
    startRevision: BigInt(start),
    progressNotify: prng.chance(0.2),
    filters: prng.pick(FILTERS),
    prevKv: prng.chance(0.5),
    fragment: prng.chance(0.3),
    watchId: BigInt(prng.chance(0.75) ? 0 : prng.pick([1, 2, 3, 4, 5, 6, -7, 2 ** 40])),
  });
}

function drawRangeEnd(prng: Prng, key: Uint8Array): Uint8Array {
  const dice = prng.below(100);
  if (dice < 35) return NONE;
  if (dice < 60) return prefixEnd(key);
  if (dice < 80) return FROM_KEY;
  return prng.pick(KEYS);
}

function drawStart(prng: Prng, { revision, compactRevision }: StoreView): number {
  const dice = prng.below(100);
  if (dice < 40) return 0;
  if (dice < 70) return compactRevision + 1 + prng.below(Math.max(1, revision - compactRevision));
  if (dice < 80) return revision + prng.below(40);
  if (dice < 88) return Math.max(1, compactRevision - prng.below(20));
  if (dice < 96) return compactRevision;
  return -1 - prng.below(3);
}

/** True if a watch is to tell of an event. */
export function wants({ key, rangeEnd, filters }: WatchCreateRequest, event: Event): boolean {
  if (filters.includes(event.type === Event_EventType.PUT ? NOPUT : NODELETE)) return false;
  const first = key.length === 0 ? Uint8Array.of(0) : key;
  const at = event.kv?.key ?? NONE;
  if (rangeEnd.length === 0) return Buffer.compare(at, first) === 0;
  const isOpenEnded = rangeEnd.length === 1 && rangeEnd[0] === 0;
  return Buffer.compare(at, first) >= 0 && (isOpenEnded || Buffer.compare(at, rangeEnd) < 0);
}
