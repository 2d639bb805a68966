/** `/config/local/log`: the level of the log of all threads, read and set while the member runs. The path and the form are those of etcd up to 3.4. */
import type { IncomingMessage, ServerResponse } from "node:http";

import { LOG_LEVELS, type Logger, type LogLevel, type LogThreshold } from "../../telemetry/logger.ts";
import { sendError, sendText } from "./responses.ts";

/** What the endpoint asks for. */
export interface LogLevelDeps {
  readonly logger: Logger;
  readonly threshold: LogThreshold;
}

const BODY_BYTES_MAX = 1024;

/** Answers GET with `{"Level":"info"}`; PUT of the same form sets it. */
export async function serveLogLevel(
  { logger, threshold }: LogLevelDeps,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  if (request.method === "GET") {
    return sendText(response, 200, JSON.stringify({ Level: threshold.level }), "application/json");
  }
  if (request.method !== "PUT") {
    response.setHeader("Allow", "GET, PUT");
    return sendError(response, 405, "Method Not Allowed");
  }
  const level = parseLevel(await readBody(request));
  if (level === undefined) {
    return sendError(response, 400, `the body must be {"Level": "<level>"}, of ${LOG_LEVELS.join(", ")}`);
  }
  const before = threshold.level;
  threshold.level = level;
  logger.warn("the log level was changed", { from: before, to: level, remote: request.socket.remoteAddress });
  response.statusCode = 204;
  response.end();
}

/** Empty when it is too long. */
async function readBody(request: IncomingMessage): Promise<string> {
  let text = "";
  for await (const chunk of request.setEncoding("utf8")) {
    text += chunk as string;
    if (text.length > BODY_BYTES_MAX) return "";
  }
  return text;
}

function parseLevel(body: string): LogLevel | undefined {
  try {
    const { Level } = JSON.parse(body) as { Level?: unknown };
    return LOG_LEVELS.find((level) => level === String(Level).toLowerCase());
  } catch {
    return undefined;
  }
}
