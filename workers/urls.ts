/** Where the entries of worker threads are: TypeScript when run from the sources, JavaScript in the published package. */
const extension = import.meta.url.endsWith(".ts") ? ".ts" : ".js";

export const WORKER_URLS = {
  raft: new URL(`./raft.worker${extension}`, import.meta.url),
  apply: new URL(`./apply.worker${extension}`, import.meta.url),
  storage: new URL(`./storage.worker${extension}`, import.meta.url),
  watch: new URL(`./watch.worker${extension}`, import.meta.url),
} as const;

/** The pool's job that converts snapshots. */
export const SNAPSHOT_JOB_URL = new URL(`./pool/snapshot-file${extension}`, import.meta.url);
