/**
 * The log of the process: etcd's JSON lines on stderr, stdout or into files.
 *
 * Owns the outputs. Main thread only: loading pino costs 20 ms and 9 MB, and the workers need nothing of it (`logger.ts`). Lines are
 * written synchronously and in the order of the calls, so that the last line before the end of the process is there.
 */
import { pino } from "pino";

import { formatTimestamp, toConsoleLine } from "./log-format.ts";
import { DescriptorOutput, openLogFile, type LineOutput } from "./line-output.ts";
import { LogSampler } from "./log-sampler.ts";
import {
  createLoggerOn,
  LogThreshold,
  toLoggable,
  type Logger,
  type LogLevel,
  type LogRecord,
} from "./logger.ts";

/** The part of the configuration that concerns the log. */
export interface LogOptions {
  readonly level: LogLevel;
  readonly format: "json" | "console";
  /** `default` and `stderr`, `stdout`, or paths of files, which are appended to. */
  readonly outputs: readonly string[];
  /** Opens files otherwise than to append to them for ever (`rotating-file.ts`). */
  readonly openFile?: (path: string) => LineOutput;
}

/** The main thread's logger, which also writes the records of the workers. */
export interface Log extends Logger {
  /** Of all threads; may be changed at any time. */
  readonly threshold: LogThreshold;
  /** Writes a record that a worker sent. */
  write(record: LogRecord): void;
}

const STDOUT_FD = 1;
const STDERR_FD = 2;

/**
 * Opens the outputs.
 * @throws the file system's error if a file cannot be opened
 */
export function openLog(options: LogOptions): Log {
  const destinations = options.outputs.map((output) => openOutput(output, options.openFile));
  const line = createLineWriter(options.format, destinations);
  const sampler = new LogSampler();
  const write = (record: LogRecord): void => {
    if (sampler.admits(record.level, record.msg, record.unixMs)) line(record);
  };
  const threshold = LogThreshold.at(options.level);
  return { ...createLoggerOn(write, threshold), threshold, write };
}

function openOutput(output: string, openFile: LogOptions["openFile"]): LineOutput {
  if (output === "stdout") return new DescriptorOutput(STDOUT_FD);
  if (output === "default" || output === "stderr") return new DescriptorOutput(STDERR_FD);
  return openFile === undefined ? new DescriptorOutput(openLogFile(output)) : openFile(output);
}

function createLineWriter(
  format: LogOptions["format"],
  destinations: readonly LineOutput[],
): (record: LogRecord) => void {
  const writeAll = (text: string): void => {
    const shown = format === "console" ? toConsoleLine(text) : text;
    for (const destination of destinations) destination.write(shown);
  };
  // The time is the record's, which may come from a worker: pino asks for it while it writes the line.
  let unixMs = 0;
  const logger = pino(
    {
      base: null,
      level: "debug",
      customLevels: { panic: 55 },
      formatters: { level: (label) => ({ level: label }) },
      timestamp: () => `,"ts":"${formatTimestamp(unixMs)}"`,
    },
    { write: writeAll },
  );
  return (record) => {
    unixMs = record.unixMs;
    // The message goes in as a field, because pino would put its own behind the fields and etcd's stands before them.
    const line: Record<string, unknown> = { caller: record.caller, msg: record.msg };
    for (const [key, value] of Object.entries(record.fields)) line[key] = toLoggable(value);
    logger[record.level](line);
  };
}
