/**
 * The versions this product reports. Clients and members of other versions decide by them what they may ask for, so
 * they name the etcd release whose behaviour is offered, not a release of this project.
 */

/** The etcd release whose API and answers are offered: in `/version`, Status, the CLIs' `version`, and to peers. */
export const SERVER_VERSION = "3.6.6";

/** Schema version of the database: the newest that is known; a file of a newer one is refused. */
export const STORAGE_VERSION = "3.6.0";

/** Major and minor of {@link SERVER_VERSION}: the version of the API. */
export const API_VERSION = "3.6";
