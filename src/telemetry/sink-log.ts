/** The log of a member that is part of another program: records as they are, for that program to do with as it likes. */
import type { Log } from "./log.ts";
import { createLoggerOn, type LogLevel, type LogRecord, LogThreshold } from "./logger.ts";

/** @param sink gets every record from `level` on; null: there are none */
export function createSinkLog(sink: ((record: LogRecord) => void) | null, level: LogLevel): Log {
  const write = sink ?? ((): void => undefined);
  const threshold = LogThreshold.at(sink === null ? "fatal" : level);
  return { ...createLoggerOn(write, threshold), threshold, write };
}
