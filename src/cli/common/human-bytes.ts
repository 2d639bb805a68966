/** Sizes for people: `20 kB`, `2.1 GB`, in steps of 1000, one decimal below ten. */

const UNITS = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];

/** @param bytes - not negative */
export function humanBytes(bytes: bigint): string {
  const size = Number(bytes);
  if (size < 10) return `${size} B`;
  const power = Math.floor(Math.log(size) / Math.log(1000));
  const value = Math.floor((size / 1000 ** power) * 10 + 0.5) / 10;
  return `${value < 10 ? value.toFixed(1) : roundHalfEven(value)} ${UNITS[power]}`;
}

/** As Go's `%.0f`: 20.5 is 20, 21.5 is 22. */
function roundHalfEven(value: number): number {
  const rounded = Math.round(value);
  return value % 1 === 0.5 && rounded % 2 === 1 ? rounded - 1 : rounded;
}
