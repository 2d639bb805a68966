/** What the samples of a soak say: does memory grow, do latencies drift? */

/** One second of a soak. Memory and sizes are bytes by member, latencies are ms. */
export interface SoakSample {
  readonly seconds: number;
  readonly perSecond: number;
  readonly p50: number;
  readonly p99: number;
  readonly p999: number;
  readonly max: number;
  readonly rss: readonly number[];
  /** Of {@link rss}, pages of mapped files: they grow with the database, and the kernel takes them back when it needs them. */
  readonly mapped: readonly number[];
  /** {@link rss} without {@link mapped} right behind a full collection of all threads; null in a second without one. */
  readonly collected: readonly number[] | null;
  readonly databaseSize: readonly number[];
  readonly databaseInUse: readonly number[];
  /** Watch events that all watchers were told in this second. */
  readonly events: number;
}

export interface SoakLimits {
  /** Samples before this are not judged: caches, code and free pages grow to their size. */
  readonly warmUpSeconds: number;
  /** Growth of a member's resident memory without mapped files. */
  readonly rssSlopeMbPerHourMax: number;
  /** Median of the last third over that of the first. */
  readonly driftMax: number;
}

/** `passed` is null where the run is too short to tell. */
export interface Judgement {
  readonly what: string;
  readonly passed: boolean | null;
}

/** Saw teeth of a garbage collector, and shared memory that is touched for the first time: over less time any slope could be one of them. */
export const JUDGED_SECONDS_MIN = 1800;
/** A drift below this many ms is what the scheduler of a machine does. */
const DRIFT_MS_MIN = 1;
/** Memory is looked at as medians of so many stretches, so that single samples do not count. */
const STRETCHES = 60;
const MEGABYTE = 1e6;
const HOUR_SECONDS = 3600;

/**
 * Judges memory of each member and both percentiles: where collections were forced, by what they left, since what a heap holds between
 * two of its own is chance.
 *
 * @param names the members in the order of `rss`
 */
export function judgeSoak(
  samples: readonly SoakSample[],
  names: readonly string[],
  limits: SoakLimits,
): Judgement[] {
  const judged = samples.filter(({ seconds }) => seconds >= limits.warmUpSeconds);
  const length = judged.length === 0 ? 0 : judged[judged.length - 1].seconds - judged[0].seconds;
  if (length < JUDGED_SECONDS_MIN) {
    const what = `memory and latency: ${Math.round(length)} s behind the warm-up are too short, ${JUDGED_SECONDS_MIN} s are needed`;
    return [{ what, passed: null }];
  }
  return [
    ...names.map((name, member) => judgeMemory(judged, { name, member }, limits.rssSlopeMbPerHourMax)),
    judgeDrift("50 %", judged, (sample) => sample.p50, limits.driftMax),
    judgeDrift("99 %", judged, (sample) => sample.p99, limits.driftMax),
  ];
}

function judgeMemory(
  samples: readonly SoakSample[],
  { name, member }: { name: string; member: number },
  slopeMax: number,
): Judgement {
  const collections = samples.filter(({ collected }) => collected !== null);
  const isCollected = collections.length > 0;
  const points = stretches(isCollected ? collections : samples).map((part) => ({
    x: median(part.map(({ seconds }) => seconds)) / HOUR_SECONDS,
    y:
      median(part.map(({ rss, mapped, collected }) => collected?.[member] ?? rss[member] - mapped[member])) /
      MEGABYTE,
  }));
  const slope = medianSlope(points);
  const when = isCollected ? ", after full collections" : "";
  const what = `${name}: resident memory without mapped files${when} ${signed(slope)} MB/h (limit ${slopeMax})`;
  return { what, passed: slope <= slopeMax };
}

function judgeDrift(
  name: string,
  samples: readonly SoakSample[],
  pick: (sample: SoakSample) => number,
  driftMax: number,
): Judgement {
  const third = Math.floor(samples.length / 3);
  const medianOf = (part: readonly SoakSample[]): number => median(part.map(pick).filter(Number.isFinite));
  const [first, last] = [medianOf(samples.slice(0, third)), medianOf(samples.slice(-third))];
  const what = `${name} latency: ${first.toFixed(2)} ms in the first third, ${last.toFixed(2)} ms in the last (limit x${driftMax})`;
  return { what, passed: last <= first * driftMax || last - first <= DRIFT_MS_MIN };
}

function stretches(samples: readonly SoakSample[]): SoakSample[][] {
  return Array.from({ length: STRETCHES }, (_, i) =>
    samples.slice(
      Math.floor((i * samples.length) / STRETCHES),
      Math.floor(((i + 1) * samples.length) / STRETCHES),
    ),
  ).filter((part) => part.length > 0);
}

/** Theil and Sen's slope: the median of those between all pairs of points, which a few outliers do not move. */
function medianSlope(points: ReadonlyArray<{ x: number; y: number }>): number {
  const slopes: number[] = [];
  for (let i = 0; i < points.length; i++) {
    for (let j = i + 1; j < points.length; j++)
      slopes.push((points[j].y - points[i].y) / (points[j].x - points[i].x));
  }
  return median(slopes);
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[sorted.length >>> 1] ?? Number.NaN;
}

function signed(value: number): string {
  return `${value >= 0 ? "+" : ""}${value.toFixed(1)}`;
}
