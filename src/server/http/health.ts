/**
 * `/health`, for people and old probes, and `/livez` and `/readyz`, which tell the checks apart. None of them depends on
 * authentication: the reads are the server's own.
 */
import type { IncomingMessage, ServerResponse } from "node:http";

import type { Logger } from "../../telemetry/logger.ts";
import { allowGet, sendError, sendText } from "./responses.ts";

/** An alarm that a member has raised. */
export interface ActiveAlarm {
  readonly memberId: bigint;
  readonly type: "NOSPACE" | "CORRUPT" | "NONE";
}

/** What the checks ask for. */
export interface HealthDeps {
  readonly logger: Logger;
  alarms(): readonly ActiveAlarm[];
  hasLeader(): boolean;
  isLearner(): boolean;
  /** Reads one key through consensus; rejects with etcd's text, after the request timeout at the latest. */
  linearizableRead(): Promise<void>;
  /** Reads one key from this member alone; rejects as above. */
  serializableRead(): Promise<void>;
  /** Notes an answer of `/health`. */
  recordHealth(healthy: boolean): void;
  /** Notes one check of `/livez` or `/readyz`. */
  recordHealthCheck(type: string, name: string, passed: boolean): void;
}

/** One request and its answer. */
export interface Exchange {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly url: URL;
}

/** The checks of each endpoint, in the order in which they run. */
export const CHECKS = {
  livez: ["serializable_read"],
  readyz: ["data_corruption", "serializable_read", "linearizable_read", "non_learner"],
} as const;

/** Answers `/health`. */
export async function serveHealth(deps: HealthDeps, { request, response, url }: Exchange): Promise<void> {
  if (!allowGet(request, response)) {
    deps.logger.warn("/health error", { "status-code": 405 });
    return;
  }
  const serializable = url.searchParams.get("serializable") === "true";
  const reason = await findHealthProblem(deps, { excluded: excludedBy(url), serializable });
  deps.recordHealth(reason === "");
  const body = JSON.stringify({ health: reason === "" ? "true" : "false", reason });
  if (reason === "") sendText(response, 200, body);
  else {
    deps.logger.warn("/health error", { output: body, "status-code": 503 });
    sendError(response, 503, body);
  }
}

async function findHealthProblem(
  deps: HealthDeps,
  { excluded, serializable }: { excluded: ReadonlySet<string>; serializable: boolean },
): Promise<string> {
  const alarm = deps.alarms().find((active) => !excluded.has(active.type));
  if (alarm !== undefined) {
    deps.logger.warn("serving /health false due to an alarm", {
      alarm: alarm.type,
      "member-id": alarm.memberId,
    });
    return `ALARM ${alarm.type === "NONE" ? "UNKNOWN" : alarm.type}`;
  }
  if (!serializable && !deps.hasLeader()) {
    deps.logger.warn("serving /health false; no leader");
    return "RAFT NO LEADER";
  }
  const error = await findReadError(deps, serializable);
  if (error === undefined) return "";
  deps.logger.warn("serving /health false; Range fails", { error });
  return `RANGE ERROR:${error}`;
}

/** Answers `/livez` and `/readyz` with all `names`, or the path of one check. */
export async function serveChecks(
  deps: HealthDeps,
  { type, names, exchange }: { type: string; names: readonly string[]; exchange: Exchange },
): Promise<void> {
  const { request, response, url } = exchange;
  const path = url.pathname;
  if (!allowGet(request, response)) {
    deps.logger.warn("Health request error", { path, "status-code": 405 });
    return;
  }
  const isWholeEndpoint = path === `/${type}`;
  const chosen = isWholeEndpoint ? withoutExcluded(deps, names, excludedBy(url)) : names;
  const results = await runChecks(deps, type, chosen);
  if (results.failed) {
    deps.logger.error("Health check error", { path, reason: results.report, "status-code": 503 });
    sendError(response, 503, results.report);
    return;
  }
  response.setHeader("X-Content-Type-Options", "nosniff");
  sendText(response, 200, url.searchParams.has("verbose") ? `${results.report}ok\n` : "ok\n");
}

async function runChecks(
  deps: HealthDeps,
  type: string,
  names: readonly string[],
): Promise<{ failed: boolean; report: string }> {
  const problems = await Promise.all(names.map((name) => runCheck(deps, name)));
  let report = "";
  for (const [i, name] of names.entries()) {
    const problem = problems[i];
    deps.recordHealthCheck(type, name, problem === undefined);
    report += problem === undefined ? `[+]${name} ok\n` : `[-]${name} failed: ${problem}\n`;
  }
  return { failed: problems.some((problem) => problem !== undefined), report };
}

async function runCheck(deps: HealthDeps, name: string): Promise<string | undefined> {
  switch (name) {
    case "data_corruption":
      return deps.alarms().some((alarm) => alarm.type === "CORRUPT") ? "alarm activated: CORRUPT" : undefined;
    case "non_learner":
      return deps.isLearner() ? "not supported for learner" : undefined;
    default:
      return findReadError(deps, name === "serializable_read");
  }
}

async function findReadError(deps: HealthDeps, serializable: boolean): Promise<string | undefined> {
  try {
    await (serializable ? deps.serializableRead() : deps.linearizableRead());
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

function excludedBy(url: URL): Set<string> {
  return new Set(url.searchParams.getAll("exclude").filter((name) => name !== ""));
}

function withoutExcluded(
  deps: HealthDeps,
  names: readonly string[],
  excluded: ReadonlySet<string>,
): readonly string[] {
  const missing = [...excluded].filter((name) => !names.includes(name));
  if (missing.length > 0) {
    const list = missing.map((name) => JSON.stringify(name)).join(",");
    deps.logger.warn("some health checks cannot be excluded", { "missing-health-checks": list });
  }
  return names.filter((name) => !excluded.has(name));
}
