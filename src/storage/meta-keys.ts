/** Keys of bucket `meta`, as in etcd's file. Consistent index and term are u64BE, the compaction revisions 17-byte keys. */
const ascii = (text: string): Uint8Array => Uint8Array.from(text, (character) => character.charCodeAt(0));

export const META_CONSISTENT_INDEX = ascii("consistent_index");
export const META_TERM = ascii("term");
export const META_CONF_STATE = ascii("confState");
export const META_SCHEDULED_COMPACT_REV = ascii("scheduledCompactRev");
export const META_FINISHED_COMPACT_REV = ascii("finishedCompactRev");
export const META_STORAGE_VERSION = ascii("storageVersion");
/** Ours, etcd ignores it: 16 random bytes by which an index checkpoint knows its database. Differs from member to member. */
export const META_DATABASE_ID = ascii("concordDatabaseId");
