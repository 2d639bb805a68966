/** Numbers of the lessor; etcd's own, unless said otherwise. */

/** Longest TTL that a client may ask for. */
export const LEASE_TTL_SECONDS_MAX = 9_000_000_000;

/**
 * Expired leases handed out for revocation in one {@link REVOKE_ROUND_MS}. Each revocation is a raft entry: more of them at once
 * would take the log away from clients' writes.
 */
export const REVOKES_PER_ROUND_MAX = 500;
export const REVOKE_ROUND_MS = 500;

/** With so many leases a new primary looks for those that would fall due together, and spreads them. */
export const SPREAD_LEASES_MIN = 1000;
/** It lets so many fall due in one second: fewer than can be revoked, so that a pile melts. */
export const SPREAD_EXPIRIES_PER_SECOND = 750;

/** A lease that has more than this left is checkpointed, and again after this time. */
export const CHECKPOINT_INTERVAL_MS = 5 * 60_000;
/** Leases in one checkpoint request. */
export const CHECKPOINT_LEASES_MAX = 1000;

/** Most leases of a member; far beyond what its log could ever renew or revoke in time. */
export const LEASES_MAX = 1 << 26;
