import assert from "node:assert/strict";
import { test } from "node:test";

import { PeerCounters } from "../peer/peer-counters.ts";
import { reportPeer } from "../peer/peer-report.ts";
import { Metrics } from "./metrics.ts";
import { addPeerMetrics } from "./peer-metrics.ts";

test("peers are told apart by etcd's labels", async () => {
  const counters = new PeerCounters();
  counters.sentBytes = 10;
  counters.receivedBytes = 20;
  counters.disconnects = 3;
  counters.snapshotsSent = 1;
  counters.observeRoundTrip(0.0003);
  const metrics = new Metrics();
  const peers = [reportPeer(0xabn, true, counters)];
  addPeerMetrics(metrics, () => ({ local: "1", known: ["1", "ab"], peers }));
  const lines = (await metrics.scrape()).body.split("\n");
  for (const line of [
    'etcd_network_peer_sent_bytes_total{To="ab"} 10',
    'etcd_network_peer_received_bytes_total{From="ab"} 20',
    'etcd_network_peer_sent_failures_total{To="ab"} 0',
    'etcd_network_peer_received_failures_total{From="ab"} 0',
    'etcd_network_disconnected_peers_total{Local="1",Remote="ab"} 3',
    'etcd_network_active_peers{Local="1",Remote="ab"} 1',
    'etcd_network_known_peers{Local="1",Remote="ab"} 1',
    'etcd_network_known_peers{Local="1",Remote="1"} 1',
    'etcd_network_snapshot_send_success{To="ab"} 1',
    'etcd_network_snapshot_receive_inflights_total{From="ab"} 0',
    'etcd_network_peer_round_trip_time_seconds_bucket{To="ab",le="0.0002"} 0',
    'etcd_network_peer_round_trip_time_seconds_bucket{To="ab",le="0.0004"} 1',
    'etcd_network_peer_round_trip_time_seconds_bucket{To="ab",le="3.2768"} 1',
    'etcd_network_snapshot_send_total_duration_seconds_bucket{To="ab",le="51.2"} 0',
    'etcd_network_snapshot_receive_total_duration_seconds_bucket{From="ab",le="0.1"} 0',
  ]) {
    assert.ok(lines.includes(line), line);
  }
});
