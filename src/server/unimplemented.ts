import { GrpcCode } from "../base/errors.ts";
import type { Call, MethodHandler } from "../grpc/service.ts";

/** A method of a known service that this version does not serve yet: answers UNIMPLEMENTED, as for an unknown method. */
class UnimplementedMethod implements MethodHandler {
  readonly path: string;
  readonly kind = "unary";

  constructor(path: string) {
    this.path = path;
  }

  onMessage(call: Call): void {
    const [, service, method] = this.path.split("/");
    call.end(GrpcCode.unimplemented, `unknown method ${method} for service ${service}`);
  }
}

const METHODS: ReadonlyArray<readonly [service: string, methods: readonly string[]]> = [
  [
    "etcdserverpb.Auth",
    [
      "AuthEnable",
      "AuthDisable",
      "AuthStatus",
      "Authenticate",
      "UserAdd",
      "UserGet",
      "UserList",
      "UserDelete",
      "UserChangePassword",
      "UserGrantRole",
      "UserRevokeRole",
      "RoleAdd",
      "RoleGet",
      "RoleList",
      "RoleDelete",
      "RoleGrantPermission",
      "RoleRevokePermission",
    ],
  ],
];

/** Handlers for every method of etcd that has no implementation yet. */
export function unimplementedMethods(): MethodHandler[] {
  return METHODS.flatMap(([service, methods]) =>
    methods.map((method) => new UnimplementedMethod(`/${service}/${method}`)),
  );
}
