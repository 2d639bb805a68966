/** Maintenance.Defragment: has the database rewritten without its free pages. The member serves meanwhile; the answer comes at the end. */

import { ErrorId, GrpcCode } from "../base/errors.ts";
import type { Call, MethodHandler } from "../grpc/service.ts";
import type { Logger } from "../telemetry/logger.ts";
import { readNumberField } from "./number-field.ts";
import { CallFailure } from "./internal-call.ts";
import { failure } from "./reconfigurer.ts";
import type { Router } from "./router.ts";

const EMPTY = new Uint8Array(0);

/** Who can do it. */
export interface Defragmenter {
  /** Resolves when the file has shrunk. Rejects with the cause, the database as it was. @param inUseBytes about how long the new file will be */
  defragment(inUseBytes: number): Promise<void>;
}

export interface DefragmentOptions {
  readonly router: Router;
  readonly defragmenter: Defragmenter;
  readonly log: Logger;
}

export class DefragmentMethod implements MethodHandler {
  readonly path = "/etcdserverpb.Maintenance/Defragment";
  readonly kind = "unary";
  readonly #options: DefragmentOptions;
  #active = 0;

  constructor(options: DefragmentOptions) {
    this.#options = options;
  }

  onMessage(call: Call, bytes: Uint8Array, start: number, end: number): void {
    const { router } = this.#options;
    if (readNumberField(call, bytes, start, end) === null || !router.admits(call, false)) return;
    this.#run().then(
      () => {
        if (!call.cancelled) call.sendMessage(EMPTY, 0, 0);
        router.end(call, failure(ErrorId.none));
      },
      (error: Error) => router.end(call, new CallFailure(GrpcCode.unknown, error.message)),
    );
  }

  async #run(): Promise<void> {
    const { router, defragmenter, log } = this.#options;
    const { dbBytes, dbInUseBytes } = router.status;
    const startedMs = performance.now();
    log.info("starting defragment", {
      "current-db-size-bytes": dbBytes,
      "current-db-size-in-use-bytes": dbInUseBytes,
    });
    this.#active++;
    router.status.noteDefragmenting(true);
    try {
      await defragmenter.defragment(dbInUseBytes);
      const took = `${Math.round(performance.now() - startedMs)}ms`;
      log.info("finished defragmenting directory", {
        "current-db-size-bytes-diff": router.status.dbBytes - dbBytes,
        "current-db-size-bytes": router.status.dbBytes,
        took,
      });
      log.info("finished defragment", {});
    } catch (error) {
      log.warn("failed to defragment", { error });
      throw error;
    } finally {
      router.status.noteDefragmenting(--this.#active > 0);
    }
  }
}
