/** What main is told of the peers at a scrape: plain numbers, to be structured-cloned. */

import type { Histogram } from "../base/meters.ts";
import { formatId } from "../cluster/identity.ts";
import type { PeerCounters } from "./peer-counters.ts";

/** A histogram's state. */
export interface HistogramCopy {
  readonly bounds: readonly number[];
  /** By bucket, each alone; one more than bounds. */
  readonly counts: readonly number[];
  readonly sum: number;
}

/** One peer. */
export interface PeerReport extends Omit<
  PeerCounters,
  "durations" | "smoothedRoundTripSeconds" | "observeRoundTrip"
> {
  /** Hex. */
  readonly id: string;
  readonly isActive: boolean;
  readonly roundTrip: HistogramCopy;
  readonly snapshotSend: HistogramCopy;
  readonly snapshotReceive: HistogramCopy;
}

/** Copies what was counted of member `id`. */
export function reportPeer(id: bigint, isActive: boolean, counters: PeerCounters): PeerReport {
  const { sentBytes, receivedBytes, sentFailures, receivedFailures, disconnects, durations } = counters;
  const { snapshotsSent, snapshotSendFailures, snapshotsSending } = counters;
  const { snapshotsReceived, snapshotReceiveFailures, snapshotsReceiving } = counters;
  return {
    id: formatId(id),
    isActive,
    sentBytes,
    receivedBytes,
    sentFailures,
    receivedFailures,
    disconnects,
    snapshotsSent,
    snapshotSendFailures,
    snapshotsSending,
    snapshotsReceived,
    snapshotReceiveFailures,
    snapshotsReceiving,
    roundTrip: copyHistogram(durations.roundTrip),
    snapshotSend: copyHistogram(durations.snapshotSend),
    snapshotReceive: copyHistogram(durations.snapshotReceive),
  };
}

function copyHistogram(histogram: Histogram): HistogramCopy {
  const bounds = [...histogram.bounds];
  const counts = Array.from({ length: bounds.length + 1 }, (_, i) => histogram.countIn(i));
  return { bounds, counts, sum: histogram.sum };
}
