/** `etcd_network_*` of other members. The raft thread counts; main fetches a copy before each scrape. */
import type { HistogramCopy } from "../base/meters.ts";
import type { PeerReport } from "../peer/peer-report.ts";
import type { Metrics, Sample } from "./metrics.ts";

/** What is read at a scrape. */
export interface PeerStats {
  /** This member's id, hex. */
  readonly local: string;
  /** Ids of all members, hex, this one's too. */
  readonly known: readonly string[];
  readonly peers: readonly PeerReport[];
}

type CountField = {
  [K in keyof PeerReport]: PeerReport[K] extends number ? K : never;
}[keyof PeerReport];

/** Families with one number a peer: name, type, label of the peer, field, help. */
const FAMILIES: readonly (readonly [string, "gauge" | "counter", "From" | "To", CountField, string])[] = [
  ["peer_sent_bytes_total", "counter", "To", "sentBytes", "Bytes sent to a peer."],
  ["peer_received_bytes_total", "counter", "From", "receivedBytes", "Bytes received from a peer."],
  ["peer_sent_failures_total", "counter", "To", "sentFailures", "Messages that did not reach a peer."],
  [
    "peer_received_failures_total",
    "counter",
    "From",
    "receivedFailures",
    "Messages of a peer that were dropped.",
  ],
  ["snapshot_send_success", "counter", "To", "snapshotsSent", "Snapshots sent."],
  ["snapshot_send_failures", "counter", "To", "snapshotSendFailures", "Snapshots that could not be sent."],
  ["snapshot_send_inflights_total", "gauge", "To", "snapshotsSending", "Snapshots being sent."],
  ["snapshot_receive_success", "counter", "From", "snapshotsReceived", "Snapshots received."],
  [
    "snapshot_receive_failures",
    "counter",
    "From",
    "snapshotReceiveFailures",
    "Snapshots that failed to arrive.",
  ],
  ["snapshot_receive_inflights_total", "gauge", "From", "snapshotsReceiving", "Snapshots being received."],
];

/** Adds the families. */
export function addPeerMetrics(metrics: Metrics, read: () => PeerStats): void {
  for (const [name, type, label, field, help] of FAMILIES) {
    const collect = (): Sample[] =>
      read().peers.map((peer) => ({ value: peer[field], labels: { [label]: peer.id } }));
    metrics.add({ name: `etcd_network_${name}`, help, type, collect });
  }
  addPairs(metrics, read);
  addDurations(metrics, read);
}

/** Families labelled with both ends: name, type, number of a peer, help. */
const PAIRS: readonly (readonly [string, "gauge" | "counter", (peer: PeerReport) => number, string])[] = [
  [
    "active_peers",
    "gauge",
    ({ isActive }) => Number(isActive),
    "1 for each other member that can be reached.",
  ],
  ["disconnected_peers_total", "counter", ({ disconnects }) => disconnects, "How often a peer was lost."],
];

function addPairs(metrics: Metrics, read: () => PeerStats): void {
  metrics.add({
    name: "etcd_network_known_peers",
    help: "1 for each member.",
    type: "gauge",
    collect: () => {
      const { local, known } = read();
      return known.map((Remote) => ({ value: 1, labels: { Local: local, Remote } }));
    },
  });
  for (const [name, type, value, help] of PAIRS) {
    const collect = (): Sample[] => {
      const { local, peers } = read();
      return peers.map((peer) => ({ value: value(peer), labels: { Local: local, Remote: peer.id } }));
    };
    metrics.add({ name: `etcd_network_${name}`, help, type, collect });
  }
}

type DurationField = {
  [K in keyof PeerReport]: PeerReport[K] extends HistogramCopy ? K : never;
}[keyof PeerReport];

/** Families with a histogram a peer: name, label of the peer, field, help. */
const DURATIONS: readonly (readonly [string, "From" | "To", DurationField, string])[] = [
  ["peer_round_trip_time_seconds", "To", "roundTrip", "Round trips to a peer."],
  ["snapshot_send_total_duration_seconds", "To", "snapshotSend", "Sending a snapshot."],
  ["snapshot_receive_total_duration_seconds", "From", "snapshotReceive", "Receiving a snapshot."],
];

function addDurations(metrics: Metrics, read: () => PeerStats): void {
  for (const [name, label, field, help] of DURATIONS) {
    metrics.addHistogram(`etcd_network_${name}`, help, () =>
      read().peers.map((peer) => ({ values: peer[field], labels: { [label]: peer.id } })),
    );
  }
}
