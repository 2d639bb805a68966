/** CPU time and memory of a running process, from /proc. */
import { readFileSync } from "node:fs";

// Linux counts CPU time in 1/100 s on every architecture it exports to user space (USER_HZ).
const TICKS_PER_SECOND = 100;

/** User and system CPU time of all threads of a process since its start, in seconds. */
export function cpuSeconds(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  // The command name is in parentheses and may hold anything; fields are counted after the last one.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
}

/** Resident memory of a process now, in bytes. */
export function rssBytes(pid: number): number {
  return statusKilobytes(pid, "VmRSS") * 1024;
}

/** Of {@link rssBytes}, pages of mapped files (programs, LMDB's data file), which the kernel takes back when it needs them. */
export function mappedFileBytes(pid: number): number {
  return statusKilobytes(pid, "RssFile") * 1024;
}

/** Highest resident memory since the start or the last {@link resetPeakRss}, in bytes. */
export function peakRssBytes(pid: number): number {
  return statusKilobytes(pid, "VmHWM") * 1024;
}

function statusKilobytes(pid: number, field: string): number {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  const match = new RegExp(`^${field}:\\s+(\\d+) kB`, "m").exec(status);
  if (match === null) throw new Error(`/proc/${pid}/status has no ${field}: has the process ended?`);
  return Number(match[1]);
}
