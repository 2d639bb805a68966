/** The summary at the end of a run: a table for people and, where SUMMARY_JSON names a file, everything for programs. */
import { settings } from "./settings.js";

const COLUMNS = ["operation", "calls", "per s", "p50 ms", "p95 ms", "p99 ms", "p99.9 ms", "max ms", "errors"];
const STATISTICS = ["p(50)", "p(95)", "p(99)", "p(99.9)", "max"];

/** Makes a script's `handleSummary`. `trends` as of makeOptions. */
export function summaryOf(name, trends = {}) {
  return (data) => {
    const output = { stdout: render(name, data, trends) };
    if (settings.SUMMARY_JSON !== "") output[settings.SUMMARY_JSON] = `${JSON.stringify(data, null, 2)}\n`;
    return output;
  };
}

function render(name, data, trends) {
  const seconds = data.state.testRunDurationMs / 1000;
  const { endpoints, RATE, VUS, VALUE_SIZE, KEYS, DURATION } = settings;
  const arrival = RATE > 0 ? `${RATE} iterations/s, up to ${VUS} VUs` : `${VUS} VUs`;
  const members = endpoints.length === 1 ? "1 endpoint" : `${endpoints.length} endpoints`;
  const lines = [
    "",
    `${name}: ${members}, ${arrival}, ${DURATION}, ${KEYS} keys, values of ${VALUE_SIZE} B`,
    "",
    ...table([COLUMNS, ...callRows(data.metrics, seconds), ...trendRows(data.metrics, trends, seconds)]),
    "",
    ...checkLines(data),
    ...thresholdLines(data.metrics),
    "",
  ];
  return `${lines.join("\n")}\n`;
}

function callRows(metrics, seconds) {
  return Object.entries(metrics)
    .map(([metric, { values }]) => ({ op: /^grpc_req_duration\{op:(.*)\}$/.exec(metric)?.[1], values }))
    .filter(({ op }) => op !== undefined)
    .sort((a, b) => a.op.localeCompare(b.op))
    .map(({ op, values }) => {
      // Of a Rate, `passes` counts what was added as true: here the calls that failed.
      const failed = metrics[`etcd_errors{op:${op}}`]?.values.passes ?? 0;
      return [...row(op, values, seconds), String(failed)];
    });
}

function trendRows(metrics, trends, seconds) {
  return Object.entries(trends)
    .filter(([, metric]) => metrics[metric] !== undefined)
    .map(([label, metric]) => [...row(label, metrics[metric].values, seconds), ""]);
}

function row(label, values, seconds) {
  const { count } = values;
  const times = STATISTICS.map((statistic) => (count > 0 ? values[statistic].toFixed(1) : "-"));
  return [label, String(count), (count / seconds).toFixed(1), ...times];
}

function table(rows) {
  const widths = COLUMNS.map((_, column) => Math.max(...rows.map((cells) => cells[column].length)));
  return rows.map((cells) =>
    cells
      .map((cell, column) => (column === 0 ? cell.padEnd(widths[column]) : cell.padStart(widths[column])))
      .join("  ")
      .trimEnd(),
  );
}

function checkLines(data) {
  const { passes, fails } = data.metrics.checks?.values ?? { passes: 0, fails: 0 };
  const failed = data.root_group.checks.filter((each) => each.fails > 0);
  return [
    `checks: ${passes} of ${passes + fails} passed`,
    ...failed.map((each) => `  FAILED ${each.fails} times: ${each.name}`),
  ];
}

function thresholdLines(metrics) {
  const all = Object.entries(metrics).flatMap(([metric, { thresholds, values }]) =>
    Object.entries(thresholds ?? {}).map(([condition, { ok }]) => ({ metric, condition, ok, values })),
  );
  const broken = all.filter(({ ok }) => !ok);
  return [
    `thresholds: ${all.length - broken.length} of ${all.length} hold`,
    ...broken.map(({ metric, condition, values }) => {
      const [statistic] = condition.split(/[<>]/);
      return `  BROKEN ${metric}: ${condition}, and it is ${values[statistic]}`;
    }),
  ];
}
