/**
 * Maintenance.Downgrade: lets the cluster go back to the minor version before. What is enabled is an entry of the log; the leader's
 * version monitor then lowers the cluster version, and ends the downgrade when every member runs the older server.
 */

import { ErrorId, GrpcCode } from "../base/errors.ts";
import { isDowngradeOf, parseVersion, toClusterVersion } from "../cluster/version.ts";
import type { Call, MethodHandler } from "../grpc/service.ts";
import { MessageBuilder } from "../proto/message-builder.ts";
import { RaftField } from "../proto/raft-request.ts";
import { type MemberIdentity, responseHeader } from "../proto/response-header.ts";
import { WireReader } from "../proto/wire.ts";
import { ReadKind } from "../ring/record-types.ts";
import type { Logger } from "../telemetry/logger.ts";
import { CallFailure } from "./internal-call.ts";
import { refuseMalformed } from "./number-field.ts";
import { failure } from "./reconfigurer.ts";
import type { Router } from "./router.ts";

/** etcdserverpb.DowngradeRequest.DowngradeAction */
const Action = { validate: 0, enable: 1, cancel: 2 } as const;
const EMPTY = new Uint8Array(0);

export interface DowngradeOptions {
  readonly router: Router;
  readonly identity: MemberIdentity;
  readonly log: Logger;
}

export class DowngradeMethod implements MethodHandler {
  readonly path = "/etcdserverpb.Maintenance/Downgrade";
  readonly kind = "unary";
  readonly #options: DowngradeOptions;

  constructor(options: DowngradeOptions) {
    this.#options = options;
  }

  onMessage(call: Call, bytes: Uint8Array, start: number, end: number): void {
    const { router } = this.#options;
    const request = decodeRequest(bytes, start, end);
    if (request === null) refuseMalformed(call);
    else if (router.admits(call, false)) {
      this.#run(request.action, request.version).then(
        (clusterVersion) => this.#answer(call, clusterVersion),
        (error: unknown) => router.end(call, error as CallFailure),
      );
    }
  }

  onCancel(): void {}

  /** Resolves with the cluster version of the answer. */
  #run(action: number, version: string): Promise<string> {
    switch (action) {
      case Action.validate:
        return this.#validate(version).then(({ clusterVersion }) => clusterVersion);
      case Action.enable:
        return this.#enable(version);
      case Action.cancel:
        return this.#cancel();
      default:
        return Promise.reject(new CallFailure(GrpcCode.unknown, "etcdserver: unknown method"));
    }
  }

  async #validate(version: string): Promise<{ clusterVersion: string; target: string }> {
    const { router } = this.#options;
    const target = parseTarget(version);
    const { clusterVersion } = router.status;
    if (clusterVersion === "") throw failure(ErrorId.clusterVersionUnavailable);
    await this.#readIndex();
    if (!isDowngradeOf(router.status.clusterVersion, target))
      throw failure(ErrorId.invalidDowngradeTargetVersion);
    if (router.status.downgradeTarget !== "") throw failure(ErrorId.downgradeInProcess);
    return { clusterVersion, target };
  }

  async #enable(version: string): Promise<string> {
    const { router, log } = this.#options;
    try {
      const { target } = await this.#validate(version);
      await proposeDowngrade(router, target);
    } catch (error) {
      log.warn("reject downgrade request", { error });
      throw error;
    }
    return router.status.clusterVersion;
  }

  /** As with etcd, a failure is told to the log alone. */
  async #cancel(): Promise<string> {
    const { router, log } = this.#options;
    try {
      await this.#readIndex();
      if (router.status.downgradeTarget === "") throw failure(ErrorId.noInflightDowngrade);
      await proposeDowngrade(router, "");
    } catch (error) {
      log.warn("failed to cancel downgrade", { error });
    }
    return router.status.clusterVersion;
  }

  async #readIndex(): Promise<void> {
    const { router } = this.#options;
    await router.request((own) => router.read(own, ReadKind.barrier, true, EMPTY, 0, 0));
  }

  /** DowngradeResponse {1 header, 2 version}. */
  #answer(call: Call, clusterVersion: string): void {
    const { router, identity } = this.#options;
    const { revision, term } = router.status;
    const answer = new MessageBuilder()
      .message(1, responseHeader(identity, revision, term))
      .string(2, clusterVersion.split(".").slice(0, 2).join("."))
      .finish();
    if (!call.cancelled) call.sendMessage(answer, 0, answer.length);
    router.end(call, failure(ErrorId.none));
  }
}

/** Proposes a downgrade to `target` (`major.minor.0`), or its end (empty); resolves when it is applied. DowngradeInfoSetRequest {1 enabled, 2 ver}. */
export async function proposeDowngrade(router: Router, target: string): Promise<void> {
  const payload = new MessageBuilder()
    .bool(1, target !== "")
    .string(2, target)
    .finish();
  await router.request((own) => router.propose(own, RaftField.downgradeInfoSet, payload, 0, payload.length));
}

/** `X.Y` or `X.Y.Z` as `X.Y.0`. */
function parseTarget(version: string): string {
  const full = parseVersion(version) === null ? `${version}.0` : version;
  if (parseVersion(full) === null) throw failure(ErrorId.wrongDowngradeVersionFormat);
  return toClusterVersion(full);
}

/** DowngradeRequest {1 action, 2 version}; null when malformed. */
function decodeRequest(
  bytes: Uint8Array,
  start: number,
  end: number,
): { readonly action: number; readonly version: string } | null {
  const reader = new WireReader();
  let action = 0;
  let version = "";
  reader.reset(bytes, start, end);
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    if (tag === 0x08) action = reader.int32();
    else if (tag === 0x12) {
      const length = reader.length();
      version = new TextDecoder().decode(
        new Uint8Array(bytes.subarray(reader.position, reader.position + length)),
      );
      reader.advance(length);
    } else reader.skip(tag);
  }
  return reader.failed ? null : { action, version };
}
