import type { Defragmenter } from "../src/server/defragment.ts";
import type { Router } from "../src/server/router.ts";
import type { Log } from "../src/telemetry/log.ts";

const MEGABYTE = 1024 * 1024;

export interface DefragmentAtStartOptions {
  readonly router: Router;
  readonly defragmenter: Defragmenter;
  readonly log: Log;
  /** `--bootstrap-defrag-threshold-megabytes`; 0 = never. */
  readonly thresholdMb: number;
}

/** Defragments once if that frees as much as is asked for. The member serves meanwhile, other than etcd, which does it before. */
export async function defragmentAtStart(options: DefragmentAtStartOptions): Promise<void> {
  const { router, defragmenter, log, thresholdMb } = options;
  const { dbBytes, dbInUseBytes } = router.status;
  if (thresholdMb === 0) return;
  const fields = {
    "current-db-size-bytes": dbBytes,
    "current-db-size-in-use-bytes": dbInUseBytes,
    "bootstrap-defrag-threshold-bytes": thresholdMb * MEGABYTE,
  };
  if (dbBytes - dbInUseBytes < thresholdMb * MEGABYTE) {
    log.info("Skipping defragmentation", fields);
    return;
  }
  log.info("starting defragment", fields);
  try {
    await defragmenter.defragment(dbInUseBytes);
    log.info("finished defragment", {});
  } catch (error) {
    log.warn("failed to defragment", { error });
  }
}
