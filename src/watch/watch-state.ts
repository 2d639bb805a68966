/** Memory that the watch thread writes and apply reads. */

/** Words in memory that apply and the watch thread share; the watch thread writes them. */
export const WatchStateWord = {
  /** Number of creates handled when there was no watcher left: apply sends no events while it has not handed on more. */
  idleAfter: 0,
  /** 1: somebody wants previous values, so that apply had better send them along. */
  wantsPrevious: 1,
} as const;
/** Bytes of that memory. */
export const WATCH_STATE_BYTES = 64;
