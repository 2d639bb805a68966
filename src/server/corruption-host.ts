/** The checks' view of the member: hashes from apply and from the peers' HTTP endpoints, alarms through the log. */

import { AlarmAction, encodeAlarmRequest } from "../apply/apply-alarm.ts";
import { AlarmType } from "../apply/alarms.ts";
import { formatId } from "../cluster/identity.ts";
import { getHashKv } from "../peer/peer-client.ts";
import { MessageBuilder } from "../proto/message-builder.ts";
import { RaftField } from "../proto/raft-request.ts";
import type { MemberIdentity } from "../proto/response-header.ts";
import { ReadKind } from "../ring/record-types.ts";
import type { Logger } from "../telemetry/logger.ts";
import type { CompactionHash, CorruptionHost, MemberHash, PeerHash } from "./corruption-check.ts";
import { decodeHashKvResponse } from "./hash-kv-response.ts";
import type { Router } from "./router.ts";

const EMPTY = new Uint8Array(0);

export interface CorruptionHostOptions {
  readonly router: Router;
  readonly identity: MemberIdentity;
  readonly requestTimeoutMs: number;
  readonly log: Logger;
}

export class MemberCorruptionHost implements CorruptionHost {
  readonly memberId: bigint;
  readonly log: Logger;
  readonly #options: CorruptionHostOptions;

  constructor(options: CorruptionHostOptions) {
    this.#options = options;
    this.memberId = options.identity.memberId;
    this.log = options.log;
  }

  async hash(revision: number): Promise<MemberHash> {
    const { router } = this.#options;
    const request = new MessageBuilder().number(1, revision).finish();
    const answer = await router.request((own) =>
      router.read(own, ReadKind.hashKv, false, request, 0, request.length),
    );
    return decodeHashKvResponse(answer);
  }

  /** One after the other, as etcd: the hashes cost their members something. */
  async peerHashes(revision: number): Promise<readonly PeerHash[]> {
    const { router } = this.#options;
    const peers: PeerHash[] = [];
    for (const { id, peerUrls: urls } of router.status.members) {
      if (id !== this.memberId && urls.length > 0) peers.push(await this.#ask(id, urls, revision));
    }
    return peers;
  }

  async #ask(id: bigint, urls: readonly string[], revision: number): Promise<PeerHash> {
    const { identity, requestTimeoutMs } = this.#options;
    let error: Error | null = null;
    for (const url of urls) {
      try {
        const options = { timeoutMs: requestTimeoutMs, clusterId: identity.clusterId };
        return { id, urls, hash: await getHashKv(url, revision, options), error: null };
      } catch (cause) {
        error = cause as Error;
        this.log.warn("failed hash kv request", {
          "local-member-id": formatId(this.memberId),
          "requested-revision": revision,
          "remote-peer-endpoint": url,
          error,
        });
      }
    }
    return { id, urls, hash: null, error };
  }

  async readIndex(): Promise<void> {
    const { router } = this.#options;
    await router.request((own) => router.read(own, ReadKind.barrier, true, EMPTY, 0, 0));
  }

  compactionHashes(): readonly CompactionHash[] {
    return this.#options.router.status.compactionHashes;
  }

  raiseAlarm(memberId: bigint): void {
    const { router } = this.#options;
    const payload = encodeAlarmRequest({ action: AlarmAction.activate, memberId, type: AlarmType.corrupt });
    router
      .request((own) => router.propose(own, RaftField.alarm, payload, 0, payload.length))
      .catch((error: unknown) => {
        this.log.warn("failed to raise alarm", { alarm: "CORRUPT", "member-id": formatId(memberId), error });
      });
  }
}
