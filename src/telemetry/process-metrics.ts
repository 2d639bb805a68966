/** `process_*` and `os_fd_*`: what the kernel says about this process. Outside Linux only what Node knows is shown. */
import { readdirSync, readFileSync } from "node:fs";

import type { Metrics } from "./metrics.ts";

/** Adds the process families. */
export function addProcessMetrics(metrics: Metrics): void {
  const startSeconds = (performance.timeOrigin / 1000) | 0;
  const add = (name: string, help: string, read: () => number): void => metrics.addGauge(name, help, read);
  metrics.addCounter("process_cpu_seconds_total", "User and system CPU time spent, in seconds.", () => {
    const { user, system } = process.cpuUsage();
    return (user + system) / 1e6;
  });
  add("process_resident_memory_bytes", "Resident memory, in bytes.", () => process.memoryUsage.rss());
  add(
    "process_start_time_seconds",
    "Start of the process, in seconds since the Unix epoch.",
    () => startSeconds,
  );
  if (process.platform !== "linux") return;
  add("process_virtual_memory_bytes", "Virtual memory, in bytes.", () => readStatus("VmSize") * 1024);
  add("process_virtual_memory_max_bytes", "Limit of virtual memory, in bytes; -1: none.", () => {
    return readLimit("Max address space");
  });
  for (const name of ["process_open_fds", "os_fd_used"]) add(name, "Open file descriptors.", countOpenFiles);
  for (const name of ["process_max_fds", "os_fd_limit"]) {
    add(name, "Limit of open file descriptors.", () => readLimit("Max open files"));
  }
  addNetwork(metrics);
}

/** Soft limit of open files, -1 without one. */
export function readOpenFilesLimit(): number {
  return process.platform === "linux" ? readLimit("Max open files") : -1;
}

function countOpenFiles(): number {
  return readdirSync("/proc/self/fd").length;
}

function readStatus(key: string): number {
  return Number(
    new RegExp(`^${key}:\\s+(\\d+)`, "m").exec(readFileSync("/proc/self/status", "utf8"))?.[1] ?? 0,
  );
}

function readLimit(name: string): number {
  const soft = new RegExp(`^${name}\\s+(\\S+)`, "m").exec(readFileSync("/proc/self/limits", "utf8"))?.[1];
  return soft === undefined || soft === "unlimited" ? -1 : Number(soft);
}

function addNetwork(metrics: Metrics): void {
  const add = (name: string, help: string, column: number): void => {
    metrics.addCounter(name, help, () => sumInterfaces(column));
  };
  add("process_network_receive_bytes_total", "Bytes received in this network namespace.", 0);
  add("process_network_transmit_bytes_total", "Bytes sent in this network namespace.", 8);
}

function sumInterfaces(column: number): number {
  let sum = 0;
  for (const line of readFileSync("/proc/self/net/dev", "utf8").split("\n")) {
    const numbers = line.split(":")[1]?.trim().split(/\s+/);
    if (numbers !== undefined) sum += Number(numbers[column]);
  }
  return sum;
}
