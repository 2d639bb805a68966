/** What is true of a watcher: as asked for by its creation, and as it stands. */
export const WatcherFlag = {
  // The first three make the interest.
  noPut: 1,
  noDelete: 2,
  prevKv: 4,
  fragment: 8,
  progress: 16,
  /** Got events since the last progress tick. */
  notified: 32,
  /** Begins at a revision that was in the future when it was created. */
  future: 64,
  /** Has revisions to catch up with. */
  behind: 128,
  /** Cancelled by compaction; its id stays taken until the client cancels it. */
  compacted: 256,
  /** Takes part in the current slice of catching up. */
  inSlice: 512,
} as const;
