/** What main is told of the peers at a scrape: plain numbers, to be structured-cloned. */

import type { HistogramCopy } from "../base/meters.ts";
import { formatId } from "../cluster/identity.ts";
import type { PeerCounters } from "./peer-counters.ts";

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
    roundTrip: durations.roundTrip.copy(),
    snapshotSend: durations.snapshotSend.copy(),
    snapshotReceive: durations.snapshotReceive.copy(),
  };
}
