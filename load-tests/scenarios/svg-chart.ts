/** Lines over time as an SVG file: panels one below the other with a common time axis. Small on purpose; browsers show it as it is. */

const WIDTH = 960;
const PANEL_HEIGHT = 200;
const LEFT = 70;
const RIGHT = 20;
const TOP = 40;
const PANEL_GAP = 46;
/** More points than this would not be seen, and make large files. */
const POINTS_MAX = 600;
const TICKS = 5;
const COLORS = ["#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#ff7f0e", "#8c564b", "#17becf"];

/** One line. Many points are shown as fewer: by the mean or by the highest of those that fall together. */
export interface Line {
  readonly name: string;
  readonly values: readonly number[];
  readonly reduce: "mean" | "max";
}

/** Lines with a common scale. */
export interface Panel {
  readonly title: string;
  /** Powers of ten are equally far apart. Values must be above 0. */
  readonly isLogarithmic?: boolean;
  readonly lines: readonly Line[];
}

export interface Chart {
  readonly title: string;
  /** Seconds of the first and the last value of all lines. */
  readonly seconds: { readonly from: number; readonly to: number };
  readonly panels: readonly Panel[];
  /** Moments that are marked. */
  readonly marks?: ReadonlyArray<{ readonly seconds: number; readonly label: string }>;
}

/** The whole file. */
export function renderSvg(chart: Chart): string {
  const height = TOP + chart.panels.length * (PANEL_HEIGHT + PANEL_GAP);
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" font-family="sans-serif" font-size="12">`,
    `<rect width="${WIDTH}" height="${height}" fill="white"/>`,
    `<text x="${LEFT}" y="18" font-size="14">${escapeXml(chart.title)}</text>`,
    ...chart.panels.flatMap((panel, index) =>
      renderPanel(chart, panel, TOP + index * (PANEL_HEIGHT + PANEL_GAP)),
    ),
    "</svg>\n",
  ].join("\n");
}

function renderPanel(chart: Chart, panel: Panel, top: number): string[] {
  const values = panel.lines.flatMap((line) => line.values).filter(Number.isFinite);
  const scale = panel.isLogarithmic === true ? logarithmic(values) : linear(values);
  const y = (value: number): string => (top + PANEL_HEIGHT * (1 - scale.place(value))).toFixed(1);
  const { from, to } = chart.seconds;
  const x = (seconds: number): string =>
    (LEFT + ((seconds - from) / Math.max(to - from, 1)) * (WIDTH - LEFT - RIGHT)).toFixed(1);
  const timeAt = (share: number): number => from + (to - from) * share;
  const shares = Array.from({ length: TICKS + 1 }, (_, i) => i / TICKS);
  const bottom = top + PANEL_HEIGHT;
  return [
    `<text x="${LEFT}" y="${top - 6}">${escapeXml(panel.title)}</text>`,
    ...scale.ticks.map(
      (tick) =>
        `<path d="M${LEFT} ${y(tick)}H${WIDTH - RIGHT}" stroke="#ddd"/>` +
        `<text x="${LEFT - 6}" y="${y(tick)}" text-anchor="end" dominant-baseline="middle">${formatTick(tick)}</text>`,
    ),
    ...shares.map(
      (share) =>
        `<text x="${x(timeAt(share))}" y="${bottom + 15}" text-anchor="middle">${formatTime(timeAt(share))}</text>`,
    ),
    ...(chart.marks ?? []).map(
      ({ seconds, label }) =>
        `<path d="M${x(seconds)} ${top}V${bottom}" stroke="#999" stroke-dasharray="4 3"/>` +
        `<text x="${x(seconds)}" y="${top + 12}" dx="4" fill="#777">${escapeXml(label)}</text>`,
    ),
    ...panel.lines.flatMap((line, index) => {
      const color = COLORS[index % COLORS.length];
      const points = reduced(line).map((value, i, all) => {
        const seconds = timeAt(all.length === 1 ? 1 : i / (all.length - 1));
        return Number.isFinite(value) ? `${x(seconds)},${y(value)}` : "";
      });
      return [
        `<polyline fill="none" stroke="${color}" stroke-width="1.3" points="${points.filter(Boolean).join(" ")}"/>`,
        `<text x="${LEFT + 170 + index * 110}" y="${top - 6}" fill="${color}">${escapeXml(line.name)}</text>`,
      ];
    }),
  ];
}

function reduced({ values, reduce }: Line): number[] {
  if (values.length <= POINTS_MAX) return [...values];
  return Array.from({ length: POINTS_MAX }, (_, i) => {
    const from = Math.floor((i * values.length) / POINTS_MAX);
    const part = values
      .slice(from, Math.floor(((i + 1) * values.length) / POINTS_MAX))
      .filter((value) => Number.isFinite(value));
    if (part.length === 0) return Number.NaN;
    return reduce === "max" ? Math.max(...part) : part.reduce((sum, value) => sum + value, 0) / part.length;
  });
}

interface Scale {
  readonly ticks: readonly number[];
  /** 0 at the bottom, 1 at the top. */
  place(value: number): number;
}

function linear(values: readonly number[]): Scale {
  const highest = values.reduce((max, value) => Math.max(max, value), 0);
  const step = niceStep((highest || 1) / TICKS);
  const count = Math.max(1, Math.ceil(highest / step));
  return {
    ticks: Array.from({ length: count + 1 }, (_, i) => i * step),
    place: (value) => value / (count * step),
  };
}

function logarithmic(values: readonly number[]): Scale {
  const positive = values.filter((value) => value > 0);
  const lowest = Math.floor(Math.log10(positive.reduce((min, value) => Math.min(min, value), 1)));
  const highest = Math.max(
    lowest + 1,
    Math.ceil(Math.log10(positive.reduce((max, value) => Math.max(max, value), 1))),
  );
  return {
    ticks: Array.from({ length: highest - lowest + 1 }, (_, i) => 10 ** (lowest + i)),
    place: (value) => (Math.log10(Math.max(value, 10 ** lowest)) - lowest) / (highest - lowest),
  };
}

/** 1, 2 or 5 times a power of ten. */
function niceStep(least: number): number {
  const power = 10 ** Math.floor(Math.log10(least));
  return power * (least <= power ? 1 : least <= 2 * power ? 2 : least <= 5 * power ? 5 : 10);
}

function formatTick(value: number): string {
  return Number(value.toPrecision(6)).toLocaleString("en-US", { maximumFractionDigits: 4 });
}

function formatTime(seconds: number): string {
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  const minutes = Math.floor(whole / 60);
  const pad = (count: number): string => String(count).padStart(2, "0");
  return minutes < 60
    ? `${minutes}:${pad(whole % 60)}`
    : `${Math.floor(minutes / 60)}:${pad(minutes % 60)}:${pad(whole % 60)}`;
}

function escapeXml(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}
