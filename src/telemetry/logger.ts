/**
 * What every folder logs through. The main thread has the real log (`log.ts`, on pino); a worker has {@link workerLogger},
 * which sends its records to main. Both write down where the call was made, so that lines look like etcd's:
 * `"caller":"raft/step-leader.ts:120"`.
 *
 * Values in fields: a bigint is an ID and is printed in lower-case hex, an Error by its message; give durations as text
 * (`formatGoDuration`).
 */
import { getCallSites } from "node:util";
import { describeCaller } from "./caller.ts";

/** etcd's levels, from the least to the most severe. */
export const LOG_LEVELS = ["debug", "info", "warn", "error", "panic", "fatal"] as const;

export type LogLevel = (typeof LOG_LEVELS)[number];

/** Named values of a log line, printed after its message in the order given. */
export type LogFields = Readonly<Record<string, unknown>>;

/** Writes log lines. Cheap when the level is off, about 20 us otherwise: nothing for a hot path. */
export interface Logger {
  debug(msg: string, fields?: LogFields): void;
  info(msg: string, fields?: LogFields): void;
  warn(msg: string, fields?: LogFields): void;
  error(msg: string, fields?: LogFields): void;
  /** Only logs: whoever calls it ends the process. */
  fatal(msg: string, fields?: LogFields): void;
  /** True if lines of this level are written; asks before costly fields are put together. */
  isEnabled(level: LogLevel): boolean;
}

/** One line on its way from a worker to the main thread. */
export interface LogRecord {
  readonly level: LogLevel;
  /** When it was logged, in ms since the Unix epoch, with a fraction. */
  readonly unixMs: number;
  /** `folder/file.ts:line` */
  readonly caller: string;
  readonly msg: string;
  readonly fields: LogFields;
}

const SEVERITY: Readonly<Record<LogLevel, number>> = {
  debug: 20,
  info: 30,
  warn: 40,
  error: 50,
  panic: 55,
  fatal: 60,
};

/**
 * From which level on lines are written: one word of shared memory, so that every thread's logger follows a change of it at once.
 * Each thread makes its own object over the same {@link memory}.
 */
export class LogThreshold {
  readonly memory: SharedArrayBuffer;
  readonly #word: Int32Array;

  constructor(memory = new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT)) {
    this.memory = memory;
    this.#word = new Int32Array(memory);
  }

  /** A threshold of its own, which stands at `level`. */
  static at(level: LogLevel): LogThreshold {
    const threshold = new LogThreshold();
    threshold.level = level;
    return threshold;
  }

  get level(): LogLevel {
    const severity = Atomics.load(this.#word, 0);
    return LOG_LEVELS.find((level) => SEVERITY[level] >= severity) ?? "fatal";
  }

  set level(level: LogLevel) {
    Atomics.store(this.#word, 0, SEVERITY[level]);
  }

  /** True if lines of this level are written. */
  takes(level: LogLevel): boolean {
    return SEVERITY[level] >= Atomics.load(this.#word, 0);
  }
}

/** A logger that hands its records to `write`. */
export function createLoggerOn(write: (record: LogRecord) => void, threshold: LogThreshold): Logger {
  const log = (level: LogLevel, msg: string, fields: LogFields | undefined): void => {
    if (!threshold.takes(level)) return;
    write({ level, unixMs: nowUnixMs(), caller: findCaller(), msg, fields: fields ?? {} });
  };
  return {
    debug: (msg, fields) => log("debug", msg, fields),
    info: (msg, fields) => log("info", msg, fields),
    warn: (msg, fields) => log("warn", msg, fields),
    error: (msg, fields) => log("error", msg, fields),
    fatal: (msg, fields) => log("fatal", msg, fields),
    isEnabled: (level) => threshold.takes(level),
  };
}

/** Where a worker's records go: its parent port, or a MessagePort. */
export interface LogPort {
  postMessage(record: LogRecord): void;
}

/**
 * The logger of a worker: posts records, for the main thread to write with `Log.write`. Errors in fields are sent as
 * their message, since structured cloning drops their class anyway.
 */
export function workerLogger(port: LogPort, threshold: LogThreshold): Logger {
  return createLoggerOn((record) => {
    const fields: Record<string, unknown> = {};
    for (const [key, value] of Object.entries(record.fields)) fields[key] = toLoggable(value);
    port.postMessage({ ...record, fields });
  }, threshold);
}

/** A logger that writes nothing, for tests. */
export const SILENT_LOGGER: Logger = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
  fatal: () => undefined,
  isEnabled: () => false,
};

/** A field's value as it is printed. */
export function toLoggable(value: unknown): unknown {
  if (typeof value === "bigint") return BigInt.asUintN(64, value).toString(16);
  return value instanceof Error ? value.message : value;
}

/** Frames between `getCallSites` and the caller: findCaller, log, the level's method. */
const LOGGER_FRAMES = 3;

function findCaller(): string {
  const site = getCallSites(LOGGER_FRAMES + 1)[LOGGER_FRAMES];
  return site === undefined ? "unknown:0" : describeCaller(site);
}

/** Between the two clocks of the process more than this much drift means that the wall clock was set. */
const CLOCK_DRIFT_MS_MAX = 2;

let unixOffsetMs = Date.now() - performance.now();

/** The wall clock with microseconds: the monotonic clock, tied again to the wall clock whenever that one was set. */
function nowUnixMs(): number {
  const wall = Date.now();
  const precise = performance.now() + unixOffsetMs;
  if (Math.abs(precise - wall) <= CLOCK_DRIFT_MS_MAX) return precise;
  unixOffsetMs = wall - performance.now();
  return wall;
}
