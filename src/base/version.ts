/** The etcd release whose behaviour this server has; what `/version`, `Status` and peers are told. */
export const SERVER_VERSION = "3.6.1";

/** Version that a cluster of such members agrees on: never a patch level. */
export const CLUSTER_VERSION = "3.6.0";

/** Schema version of the database. */
export const STORAGE_VERSION = "3.6.0";
