/**
 * The cluster's version, which the leader alone decides: at the beginning of its term, and every few seconds, it asks all members
 * for the version of their server and proposes what follows from that. Runs on every member, and does nothing on a follower.
 */

import { SERVER_VERSION } from "../base/version.ts";
import type { Member } from "../cluster/membership.ts";
import { compareVersions, decideClusterVersion } from "../cluster/version.ts";
import { MessageBuilder } from "../proto/message-builder.ts";
import { RaftField } from "../proto/raft-request.ts";
import type { Logger } from "../telemetry/logger.ts";
import { proposeDowngrade } from "./downgrade.ts";
import type { MemberStatus } from "./member-status.ts";
import type { Router } from "./router.ts";

/** etcd's interval. */
const CHECK_INTERVAL_MS = 4000;

export interface VersionMonitorOptions {
  readonly router: Router;
  /** Server version of another member; rejects when it does not answer. */
  readonly versionOf: (member: Member) => Promise<string>;
  readonly log: Logger;
  /** `--downgrade-check-time`: how often the leader looks whether a downgrade is done. */
  readonly downgradeCheckMs: number;
}

export class VersionMonitor {
  readonly #options: VersionMonitorOptions;
  readonly #status: MemberStatus;
  /** Term in which the beginning has been seen to. */
  #checkedTerm = 0;
  #checking = false;
  #timer: NodeJS.Timeout | undefined;
  #downgradeTimer: NodeJS.Timeout | undefined;
  /** The cluster version is at the target of this downgrade, and the log says so. */
  #readyFor = "";

  constructor(options: VersionMonitorOptions) {
    this.#options = options;
    this.#status = options.router.status;
  }

  start(): void {
    this.#status.listeners.add(this.#onChange);
    this.#timer = setInterval(() => void this.#check(), CHECK_INTERVAL_MS);
    this.#timer.unref();
    this.#downgradeTimer = setInterval(() => void this.#endDowngrade(), this.#options.downgradeCheckMs);
    this.#downgradeTimer.unref();
    this.#onChange();
  }

  stop(): void {
    this.#status.listeners.delete(this.#onChange);
    clearInterval(this.#timer);
    clearInterval(this.#downgradeTimer);
  }

  readonly #onChange = (): void => {
    const { term, members } = this.#status;
    this.#noteDowngrade();
    // A new member leads before the first entry, which names it, is applied.
    if (!this.#status.isLeader || term === this.#checkedTerm || members.length === 0) return;
    this.#checkedTerm = term;
    void this.#check();
  };

  async #check(): Promise<void> {
    if (this.#checking || !this.#status.isLeader || this.#status.members.length === 0) return;
    this.#checking = true;
    try {
      const serverVersions = await Promise.all(this.#status.members.map((member) => this.#ask(member)));
      const { clusterVersion, downgradeTarget, isLeader } = this.#status;
      const version = decideClusterVersion({ clusterVersion, serverVersions, downgradeTarget });
      if (version !== null && isLeader) await this.#propose(version);
    } catch (error) {
      this.#options.log.warn("failed to update cluster version", { error });
    } finally {
      this.#checking = false;
    }
  }

  #noteDowngrade(): void {
    const { downgradeTarget, clusterVersion } = this.#status;
    if (downgradeTarget === this.#readyFor) return;
    if (downgradeTarget !== "" && clusterVersion !== downgradeTarget) return;
    this.#readyFor = downgradeTarget;
    if (downgradeTarget === "") return;
    this.#options.log.info("The server is ready to downgrade", {
      "target-version": downgradeTarget,
      "server-version": SERVER_VERSION,
    });
  }

  /** Ends a downgrade when every server is of the target's version. */
  async #endDowngrade(): Promise<void> {
    const { log, router } = this.#options;
    const { downgradeTarget, isLeader, members } = this.#status;
    if (downgradeTarget === "" || !isLeader) return;
    const versions = await Promise.all(members.map((member) => this.#ask(member)));
    if (versions.some((version) => version === null || compareVersions(version, downgradeTarget) !== 0))
      return;
    log.info("the cluster has been downgraded", { "cluster-version": downgradeTarget });
    await proposeDowngrade(router, "").catch((error: unknown) => {
      log.warn("failed to cancel downgrade", { error });
    });
  }

  async #ask(member: Member): Promise<string | null> {
    const { log, versionOf } = this.#options;
    if (member.id === this.#status.memberId) return SERVER_VERSION;
    try {
      return await versionOf(member);
    } catch (error) {
      log.warn("failed to get version", { "remote-member-id": member.id, error });
      return null;
    }
  }

  async #propose(version: string): Promise<void> {
    const { log, router } = this.#options;
    const from = this.#status.clusterVersion;
    if (from === "") {
      log.info("setting up initial cluster version using v3 API", { "cluster-version": shortForm(version) });
    } else {
      log.info("updating cluster version using v3 API", { from: shortForm(from), to: shortForm(version) });
    }
    const payload = new MessageBuilder().string(1, version).finish();
    await router.request((call) =>
      router.propose(call, RaftField.clusterVersionSet, payload, 0, payload.length),
    );
    log.info("cluster version is updated", { "cluster-version": shortForm(version) });
  }
}

/** Major and minor alone. */
function shortForm(version: string): string {
  return version.split(".").slice(0, 2).join(".");
}
