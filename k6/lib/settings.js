/**
 * Settings of a run, read from environment variables (k6/README.md lists them), and the k6 options that follow from them:
 * how requests arrive, and which thresholds must hold.
 */

const DEFAULTS = {
  ENDPOINTS: "127.0.0.1:2379",
  VUS: 10,
  DURATION: "30s",
  RATE: 0,
  VALUE_SIZE: 256,
  KEYS: 1000,
  PREFIX: "k6/",
  TIMEOUT: "10s",
  WATCHERS: 4,
  LIMITS: "",
  SUMMARY_JSON: "",
};

/** Limits of every script; LIMITS changes them. Times in ms; errors, checks and dropped are shares of 1. */
const LIMITS_DEFAULT = { p99: 500, errors: 0, checks: 1, dropped: 0.01 };
const STATISTICS = { p50: "p(50)", p90: "p(90)", p95: "p(95)", p99: "p(99)", "p99.9": "p(99.9)", max: "max" };

/** Trend statistics of the summary. */
const SUMMARY_STATISTICS = ["count", "p(50)", "p(95)", "p(99)", "p(99.9)", "max"];

export const settings = readSettings();

function readSettings() {
  const read = {};
  for (const [name, fallback] of Object.entries(DEFAULTS)) {
    const text = __ENV[name];
    const given = text !== undefined && text !== "";
    if (typeof fallback === "number") {
      const value = given ? Number(text) : fallback;
      if (!Number.isInteger(value) || value < 0)
        throw new Error(`${name}=${text}: a whole number is expected`);
      read[name] = value;
    } else read[name] = given ? text : fallback;
  }
  for (const name of ["VUS", "KEYS", "WATCHERS"]) {
    if (read[name] === 0) throw new Error(`${name} must be at least 1`);
  }
  if (read.PREFIX === "") throw new Error("PREFIX must not be empty: all keys below it are deleted");
  return {
    ...read,
    endpoints: read.ENDPOINTS.split(",").map((endpoint) => endpoint.trim().replace(/^http:\/\//, "")),
    seconds: parseSeconds(read.DURATION),
  };
}

function parseSeconds(duration) {
  const units = { ms: 0.001, s: 1, m: 60, h: 3600 };
  let seconds = 0;
  const rest = duration.replace(/(\d+(?:\.\d+)?)(ms|s|m|h)/g, (_, count, unit) => {
    seconds += Number(count) * units[unit];
    return "";
  });
  if (rest !== "" || seconds === 0)
    throw new Error(`DURATION=${duration}: expected such as 30s, 5m or 1h30m`);
  return seconds;
}

/**
 * The scenario that makes the load: RATE iterations a second whatever the answers do or, without a rate, VUS that each go on when
 * they have their answer.
 */
export function loadScenario(more = {}) {
  const { RATE, VUS, DURATION } = settings;
  if (RATE === 0) return { executor: "constant-vus", vus: VUS, duration: DURATION, ...more };
  const arrivals = { rate: RATE, timeUnit: "1s", duration: DURATION };
  return { executor: "constant-arrival-rate", ...arrivals, preAllocatedVUs: VUS, ...more };
}

/** `count` VUs that run one iteration each, which may take `seconds` beyond DURATION. */
export function companions(count, seconds, more) {
  const maxDuration = `${Math.ceil(settings.seconds + seconds)}s`;
  return { executor: "per-vu-iterations", vus: count, iterations: 1, maxDuration, ...more };
}

/**
 * k6's options. `operations` are the values of the tag `op` that the script's calls carry; `trends` maps further rows of the summary
 * to their metrics; `limits` are the script's own in place of the general ones.
 */
export function makeOptions({ scenarios, operations, trends = {}, limits = {} }) {
  return {
    scenarios,
    thresholds: makeThresholds(operations, trends, limitsOf(operations, trends, limits)),
    summaryTrendStats: SUMMARY_STATISTICS,
    setupTimeout: "120s",
    teardownTimeout: "120s",
  };
}

function makeThresholds(operations, trends, limits) {
  const thresholds = {
    checks: [`rate>=${limits.checks}`],
    // Iterations that could not begin because all VUs were waiting: what a closed loop would hide.
    dropped_iterations: [`rate<=${settings.RATE * limits.dropped}`],
  };
  const metrics = { ...trends };
  for (const op of operations) {
    metrics[op] = `grpc_req_duration{op:${op}}`;
    // Without samples every other threshold holds.
    thresholds[`etcd_calls{op:${op}}`] = ["count>0"];
    thresholds[`etcd_errors{op:${op}}`] = [`rate<=${limits[`${op}.errors`] ?? limits.errors}`];
  }
  for (const [row, metric] of Object.entries(metrics)) {
    thresholds[metric] = Object.entries(STATISTICS)
      .map(([name, statistic]) => [statistic, limits[`${row}.${name}`] ?? limits[name]])
      .filter(([, limit]) => limit !== undefined)
      .map(([statistic, limit]) => `${statistic}<=${limit}`);
  }
  return thresholds;
}

/** LIMITS is such as `p99=200,errors=0.01,list.p99=1000`. */
function limitsOf(operations, trends, own) {
  const limits = { ...LIMITS_DEFAULT, ...own };
  const times = Object.keys(STATISTICS);
  const known = new Set([...times, "errors", "checks", "dropped"]);
  for (const op of operations) for (const name of [...times, "errors"]) known.add(`${op}.${name}`);
  for (const row of Object.keys(trends)) for (const name of times) known.add(`${row}.${name}`);
  for (const part of settings.LIMITS.split(",").filter((text) => text !== "")) {
    const [name, value] = part.split("=").map((text) => text.trim());
    if (!known.has(name) || value === undefined || value === "" || !(Number(value) >= 0))
      throw new Error(`LIMITS: "${part}" is none of <name>=<number> with a name of ${[...known].join(" ")}`);
    limits[name] = Number(value);
  }
  return limits;
}
