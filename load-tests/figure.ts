/** One measured figure, and how it is made. */

/** `lowerIsBetter` says how to read the ratio. */
export interface Figure {
  readonly what: string;
  readonly unit: "us" | "ms" | "s" | "B" | "MB" | "1/s";
  readonly lowerIsBetter: boolean;
  readonly value: number;
}

/** Values over time, where one figure would not tell how they went. */
export interface Series {
  readonly title: string;
  readonly header: readonly string[];
  readonly rows: ReadonlyArray<readonly number[]>;
}

const MEGABYTE = 1e6;

export function micros(what: string, value: number): Figure {
  return { what, unit: "us", lowerIsBetter: true, value };
}

export function milliseconds(what: string, value: number): Figure {
  return { what, unit: "ms", lowerIsBetter: true, value };
}

export function megabytes(what: string, bytes: number): Figure {
  return { what, unit: "MB", lowerIsBetter: true, value: bytes / MEGABYTE };
}

/** Bytes for one of many things. */
export function bytesPer(what: string, value: number): Figure {
  return { what, unit: "B", lowerIsBetter: true, value };
}

export function perSecond(what: string, value: number): Figure {
  return { what, unit: "1/s", lowerIsBetter: false, value };
}
