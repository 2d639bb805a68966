/**
 * The versions this product reports. Clients and members of other versions decide by them what they may ask for, so
 * they name the etcd release whose behaviour is offered, not a release of this project.
 */

/** Version of etcd whose API and answers are offered: in Status, `/version` and the CLIs' `version`. */
export const ETCD_VERSION = "3.6.6";

/** Major and minor of {@link ETCD_VERSION}: the version of the API. */
export const API_VERSION = "3.6";
