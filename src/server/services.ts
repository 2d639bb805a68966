import type { MethodHandler, ServiceTable } from "../grpc/service.ts";
import { clusterMethods } from "./cluster.ts";
import { concurrencyMethods } from "./concurrency-methods.ts";
import type { MemberIdentity } from "../proto/response-header.ts";
import { healthMethods } from "./grpc-health.ts";
import { kvMethods } from "./kv.ts";
import { leaseMethods } from "./lease.ts";
import type { LeasePrimary } from "./lease-primary.ts";
import { type MaintenanceOptions, maintenanceMethods } from "./maintenance.ts";
import type { Reconfigurer } from "./reconfigurer.ts";
import type { Router } from "./router.ts";
import type { SpaceGuard } from "./space-guard.ts";
import { unimplementedMethods } from "./unimplemented.ts";
import { WatchService } from "./watch.ts";

export interface ServiceOptions extends MaintenanceOptions {
  /** `--max-txn-ops` */
  readonly txnOpsMax: number;
  readonly reconfigurer: Reconfigurer;
  readonly electionTimeoutMs: number;
  /** Called with every stream of watches that opens. */
  readonly onWatchStream?: () => void;
  readonly space: SpaceGuard;
  /** Feature gate StopGRPCServiceOnDefrag. */
  readonly stopsOnDefrag: boolean;
  readonly identity: MemberIdentity;
  readonly primary: LeasePrimary;
}

/** Every method that a client of etcd may call, by path. */
export function createServiceTable(router: Router, options: ServiceOptions): ServiceTable {
  const watch = new WatchService(router, {
    ...options.identity,
    electionTimeoutMs: options.electionTimeoutMs,
    ...(options.onWatchStream === undefined ? {} : { onOpen: options.onWatchStream }),
  });
  const handlers: MethodHandler[] = [
    ...kvMethods(router, options),
    ...clusterMethods(router, options, options.reconfigurer),
    ...maintenanceMethods(router, options),
    ...leaseMethods(router, options),
    ...healthMethods(router, options),
    watch,
    ...concurrencyMethods({ router, watch }),
    ...unimplementedMethods(),
  ];
  return new Map(handlers.map((handler) => [handler.path, handler]));
}
