/**
 * The cluster's version, which the leader alone decides: at the beginning of its term, and every few seconds, it asks all members
 * for the version of their server and proposes what follows from that. Runs on every member, and does nothing on a follower.
 */

import { SERVER_VERSION } from "../base/version.ts";
import type { Member } from "../cluster/membership.ts";
import { decideClusterVersion } from "../cluster/version.ts";
import { MessageBuilder } from "../proto/message-builder.ts";
import { RaftField } from "../proto/raft-request.ts";
import type { Logger } from "../telemetry/logger.ts";
import type { MemberStatus } from "./member-status.ts";
import type { Router } from "./router.ts";

/** etcd's interval. */
const CHECK_INTERVAL_MS = 4000;

export interface VersionMonitorOptions {
  readonly router: Router;
  /** Server version of another member; rejects when it does not answer. */
  readonly versionOf: (member: Member) => Promise<string>;
  readonly log: Logger;
}

export class VersionMonitor {
  readonly #options: VersionMonitorOptions;
  readonly #status: MemberStatus;
  /** Term in which the beginning has been seen to. */
  #checkedTerm = 0;
  #checking = false;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: VersionMonitorOptions) {
    this.#options = options;
    this.#status = options.router.status;
  }

  start(): void {
    this.#status.listeners.add(this.#onChange);
    this.#timer = setInterval(() => void this.#check(), CHECK_INTERVAL_MS);
    this.#timer.unref();
    this.#onChange();
  }

  stop(): void {
    this.#status.listeners.delete(this.#onChange);
    clearInterval(this.#timer);
  }

  readonly #onChange = (): void => {
    const { term, members } = this.#status;
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
      const { clusterVersion, isLeader } = this.#status;
      const version = decideClusterVersion({ clusterVersion, serverVersions, downgradeTarget: "" });
      if (version !== null && isLeader) await this.#propose(version);
    } catch (error) {
      this.#options.log.warn("failed to update cluster version", { error });
    } finally {
      this.#checking = false;
    }
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
