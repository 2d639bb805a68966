/** What is counted of one peer, as plain numbers; the etcd_network_peer_* metrics are made from them. */

/** Upper bounds in seconds of the round-trip histogram's buckets: etcd's, 0.1 ms doubling 15 times. */
export const ROUND_TRIP_BUCKETS: readonly number[] = Array.from({ length: 15 }, (_, i) => 0.0001 * 2 ** i);

export class PeerCounters {
  sentBytes = 0;
  receivedBytes = 0;
  sentFailures = 0;
  receivedFailures = 0;
  snapshotsSent = 0;
  snapshotSendFailures = 0;
  snapshotsSending = 0;
  /** Seconds, summed over the snapshots that arrived. */
  snapshotSendSeconds = 0;
  snapshotsReceived = 0;
  snapshotReceiveFailures = 0;
  snapshotsReceiving = 0;
  snapshotReceiveSeconds = 0;
  /** How often the peer became inactive. */
  disconnects = 0;
  /** Probes that were answered, by bucket; the last are those beyond all bounds. */
  readonly roundTrips = new Float64Array(ROUND_TRIP_BUCKETS.length + 1);
  roundTripCount = 0;
  roundTripSeconds = 0;
  /** Smoothed, in seconds; 0 before the first probe. */
  smoothedRoundTripSeconds = 0;

  observeRoundTrip(seconds: number): void {
    const bucket = ROUND_TRIP_BUCKETS.findIndex((bound) => seconds <= bound);
    this.roundTrips[bucket === -1 ? ROUND_TRIP_BUCKETS.length : bucket]++;
    this.roundTripCount++;
    this.roundTripSeconds += seconds;
    const smoothed = this.smoothedRoundTripSeconds;
    // The smoothing of RFC 6298, section 2.
    this.smoothedRoundTripSeconds = this.roundTripCount === 1 ? seconds : smoothed + (seconds - smoothed) / 8;
  }
}
