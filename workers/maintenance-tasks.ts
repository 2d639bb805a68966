/** What a member does of itself while it serves: compaction on a schedule, and comparing its data with the others'. */

import { setTimeout as sleep } from "node:timers/promises";
import { ERRORS, ErrorId } from "../src/base/errors.ts";
import type { Config } from "../src/config/config.ts";
import { parseRetention } from "../src/config/validate-start.ts";
import { MessageBuilder } from "../src/proto/message-builder.ts";
import { RaftField } from "../src/proto/raft-request.ts";
import type { MemberIdentity } from "../src/proto/response-header.ts";
import {
  compactByRevision,
  type CompactorOptions,
  compactPeriodically,
} from "../src/server/auto-compactor.ts";
import { checkNow, CompactionHashCheck } from "../src/server/corruption-check.ts";
import { MemberCorruptionHost } from "../src/server/corruption-host.ts";
import type { Router } from "../src/server/router.ts";
import type { Log } from "../src/telemetry/log.ts";

export interface MaintenanceTasksOptions {
  readonly router: Router;
  readonly identity: MemberIdentity;
  readonly config: Config;
  readonly log: Log;
}

/** Longest wait of one timer; Node.js takes no longer ones. */
const TIMER_MS_MAX = 2 ** 31 - 1;

export class MaintenanceTasks {
  readonly #options: MaintenanceTasksOptions;
  readonly #abort = new AbortController();
  readonly #timers: NodeJS.Timeout[] = [];

  constructor(options: MaintenanceTasksOptions) {
    this.#options = options;
  }

  start(): void {
    this.#startCompactor();
    this.#startChecks();
  }

  stop(): void {
    for (const timer of this.#timers) clearInterval(timer);
    this.#abort.abort();
  }

  #startCompactor(): void {
    const { router, config, log } = this.#options;
    const retention = parseRetention(config);
    if (typeof retention === "string" || retention <= 0) return;
    const { signal } = this.#abort;
    const options: CompactorOptions = {
      nowMs: () => performance.now(),
      sleep: (ms) => longSleep(ms, signal),
      revision: () => router.status.revision,
      isLeader: () => router.status.isLeader,
      compact: (revision) => compact(router, revision),
      log,
    };
    const run = config.autoCompactionMode === "periodic" ? compactPeriodically : compactByRevision;
    run(options, retention).catch((error: unknown) => {
      if (!signal.aborted) log.error("auto-compaction ended", { error });
    });
  }

  #startChecks(): void {
    const { router, identity, config, log } = this.#options;
    const host = new MemberCorruptionHost({
      router,
      identity,
      requestTimeoutMs: config.requestTimeoutMs,
      log,
    });
    if (config.corruptCheckTimeMs > 0) {
      log.info("enabled corruption checking", {
        "local-member-id": identity.memberId,
        interval: `${config.corruptCheckTimeMs / 1000}s`,
      });
      this.#everyOnLeader(config.corruptCheckTimeMs, "failed to check hash KV", () => checkNow(host));
    }
    if (config.featureGates["CompactHashCheck"]) {
      const check = new CompactionHashCheck(host);
      const interval = config.compactHashCheckTimeMs;
      this.#everyOnLeader(interval, "failed to check the hashes of compactions", () => check.run());
    }
  }

  /** Runs a check again and again while this member leads, never two at once. */
  #everyOnLeader(ms: number, failure: string, check: () => Promise<void>): void {
    const { router, log } = this.#options;
    let running = false;
    const timer = setInterval(
      () => {
        if (running || !router.status.isLeader) return;
        running = true;
        check()
          .catch((error: unknown) => log.warn(failure, { error }))
          .finally(() => (running = false));
      },
      Math.min(ms, TIMER_MS_MAX),
    );
    timer.unref();
    this.#timers.push(timer);
  }
}

/** Proposes a compaction. What was compacted before is done, too. CompactionRequest {1 revision}. */
async function compact(router: Router, revision: number): Promise<void> {
  const payload = new MessageBuilder().number(1, revision).finish();
  try {
    await router.request((own) => router.propose(own, RaftField.compaction, payload, 0, payload.length));
  } catch (error) {
    if ((error as Error).message !== ERRORS[ErrorId.compacted].message) throw error;
  }
}

async function longSleep(ms: number, signal: AbortSignal): Promise<void> {
  for (let left = ms; left > 0; left -= TIMER_MS_MAX) {
    await sleep(Math.min(left, TIMER_MS_MAX), undefined, { signal, ref: false });
  }
}
