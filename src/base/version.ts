/**
 * The versions this product reports. Clients and members of other versions decide by them what they may ask for, so
 * they name the etcd release whose behaviour is offered, not a release of this project.
 */

/** The etcd release whose behaviour is offered; what `/version`, `Status`, peers and the CLIs' `version` tell. */
export const ETCD_VERSION = "3.6.1";

/** The same, under the name that configuration uses. */
export const SERVER_VERSION = ETCD_VERSION;

/** Version of the client API: major and minor of {@link ETCD_VERSION}. */
export const API_VERSION = "3.6";

/** Version that a cluster of such members agrees on: never a patch level. */
export const CLUSTER_VERSION = "3.6.0";

/** Schema version of the database. */
export const STORAGE_VERSION = "3.6.0";
