/**
 * The HTTP endpoints answer as a real etcd's: status, headers and body of every check and parameter, of one member in every state
 * of its alarms, on both kinds of listeners. A cluster without its quorum: http-quorum.long.ts.
 */
import assert from "node:assert/strict";
import { test } from "node:test";

import { AlarmRequest_AlarmAction, AlarmType, Maintenance } from "../../src/proto/gen/rpc_pb.ts";
import { referenceMember, skipWithout } from "../support/binaries.ts";
import { EtcdClient } from "../support/etcd-client.ts";
import { startMember } from "../support/member.ts";
import { freePorts } from "../support/ports.ts";
import { memoryDir } from "../support/temp-dir.ts";
import {
  CLIENT_REQUESTS,
  compareHttp,
  HEALTH_REQUESTS,
  METRICS_LISTENER_REQUESTS,
} from "./http-comparison.ts";

const reference = referenceMember();

test("health and version answer as etcd's", { skip: skipWithout("etcd", reference) ?? false }, async (t) => {
  assert.ok(reference, "no etcd on PATH, and CI is set: install etcd, this test must not be left out");
  const ports = await freePorts(2);
  const metrics = ports.map((port) => `http://127.0.0.1:${port}`);
  const [ours, theirs] = await Promise.all([
    startMember(t, { dataDir: memoryDir(t), args: ["--listen-metrics-urls", metrics[0]] }),
    startMember(t, {
      dataDir: memoryDir(t, "reference"),
      program: reference,
      args: ["--listen-metrics-urls", metrics[1]],
    }),
  ]);
  const { etcdserver: version } = (await (await fetch(`${theirs.clientUrl}/version`)).json()) as {
    etcdserver: string;
  };
  const clients = { ours: ours.clientUrl, theirs: theirs.clientUrl };
  const listeners = { ours: metrics[0], theirs: metrics[1] };
  const setAlarm = async (action: AlarmRequest_AlarmAction, alarm: AlarmType): Promise<void> => {
    await Promise.all(
      [ours, theirs].map(async ({ address }) => {
        const client = new EtcdClient(address);
        await client.call(Maintenance.method.alarm, {
          action,
          memberID: 1n,
          alarm,
        });
        client.close();
      }),
    );
  };
  await compareHttp(t, clients, [...HEALTH_REQUESTS, ...CLIENT_REQUESTS], { version, when: "healthy" });
  await compareHttp(t, listeners, [...HEALTH_REQUESTS, ...METRICS_LISTENER_REQUESTS], {
    version,
    when: "listen-metrics-urls",
  });
  // One at a time: of two, etcd names either.
  for (const [when, alarm] of [
    ["NOSPACE", AlarmType.NOSPACE],
    ["CORRUPT", AlarmType.CORRUPT],
  ] as const) {
    await setAlarm(AlarmRequest_AlarmAction.ACTIVATE, alarm);
    await compareHttp(t, clients, HEALTH_REQUESTS, { version, when });
    await setAlarm(AlarmRequest_AlarmAction.DEACTIVATE, alarm);
  }
});
