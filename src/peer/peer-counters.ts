/** What is counted of one peer, as plain numbers; the etcd_network_peer_* metrics are made from them. */

import { type Meters, exponentialBounds, openMeters } from "../base/meters.ts";

/** etcd's buckets of durations, in seconds: 0.1 ms to 3.28 s for a round trip, 0.1 s to 51.2 s for a snapshot. */
const DURATIONS = {
  roundTrip: exponentialBounds(0.0001, 2, 16),
  snapshotSend: exponentialBounds(0.1, 2, 10),
  snapshotReceive: exponentialBounds(0.1, 2, 10),
} as const;

export class PeerCounters {
  sentBytes = 0;
  receivedBytes = 0;
  sentFailures = 0;
  receivedFailures = 0;
  snapshotsSent = 0;
  snapshotSendFailures = 0;
  snapshotsSending = 0;
  snapshotsReceived = 0;
  snapshotReceiveFailures = 0;
  snapshotsReceiving = 0;
  /** How often the peer became inactive. */
  disconnects = 0;
  /** Of probes that were answered, and of snapshots that arrived. */
  readonly durations: Meters<typeof DURATIONS> = openMeters(DURATIONS);
  /** In seconds; 0 before the first probe. */
  smoothedRoundTripSeconds = 0;

  observeRoundTrip(seconds: number): void {
    const isFirst = this.smoothedRoundTripSeconds === 0;
    this.durations.roundTrip.observe(seconds);
    const smoothed = this.smoothedRoundTripSeconds;
    // The smoothing of RFC 6298, section 2.
    this.smoothedRoundTripSeconds = isFirst ? seconds : smoothed + (seconds - smoothed) / 8;
  }
}
