/** Where the core tells what it does. Texts are those of etcd-io/raft, which operators know and its traces contain. */
export interface RaftLogger {
  debug(text: string): void;
  info(text: string): void;
  warning(text: string): void;
  error(text: string): void;
}

/** Tells nobody. */
export const SILENT_LOGGER: RaftLogger = {
  debug: () => undefined,
  info: () => undefined,
  warning: () => undefined,
  error: () => undefined,
};

/** An id as logs show it. */
export function hex(id: bigint): string {
  return id.toString(16);
}
