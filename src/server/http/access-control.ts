/** Who may use the HTTP endpoints: `--host-whitelist` against DNS rebinding (CVE-2018-5702), `--cors` for browsers. */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { TLSSocket } from "node:tls";

import type { Logger } from "../../telemetry/logger.ts";
import { sendError } from "./responses.ts";

/** The two flags; `*` admits everyone. */
export interface AccessRules {
  readonly logger: Logger;
  readonly hostWhitelist: readonly string[];
  readonly corsOrigins: readonly string[];
}

/** Applies the rules. True if the request has been answered here: refused, or a preflight. */
export function answerAccess(
  rules: AccessRules,
  request: IncomingMessage,
  response: ServerResponse,
): boolean {
  const host = hostName(request.headers.host ?? "");
  const isSecure = (request.socket as Partial<TLSSocket>).encrypted === true;
  if (!isSecure && !isHostAllowed(rules.hostWhitelist, host)) {
    rules.logger.warn("rejecting HTTP request to prevent DNS rebinding attacks", { host });
    sendError(response, 421, describeRefusal(host));
    return true;
  }
  const origin = findAllowedOrigin(rules.corsOrigins, request.headers.origin);
  if (origin !== undefined) {
    response.setHeader("Access-Control-Allow-Methods", "POST, GET, OPTIONS, PUT, DELETE");
    response.setHeader("Access-Control-Allow-Origin", origin);
    response.setHeader("Access-Control-Allow-Headers", "accept, content-type, authorization");
  }
  if (request.method !== "OPTIONS") return false;
  response.setHeader("Content-Length", 0);
  response.end();
  return true;
}

function isHostAllowed(whitelist: readonly string[], host: string): boolean {
  return whitelist.length === 0 || whitelist.includes("*") || whitelist.includes(host);
}

function findAllowedOrigin(allowed: readonly string[], origin: string | undefined): string | undefined {
  if (allowed.length === 0 || allowed.includes("*")) return "*";
  return origin !== undefined && allowed.includes(origin) ? origin : undefined;
}

/** The host without its port; an IPv6 address keeps no brackets. */
function hostName(hostPort: string): string {
  return /^\[([^\]]*)\]/.exec(hostPort)?.[1] ?? hostPort.replace(/:\d*$/, "");
}

function describeRefusal(host: string): string {
  return `
The Host header of this request is not one that this member answers to.

Either
- use TLS: any host is then accepted, or
- add the name to the whitelist: --host-whitelist ${JSON.stringify(host)}

The check protects against DNS rebinding (CVE-2018-5702).
`;
}
