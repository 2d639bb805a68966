/** CPU time of this thread, for benchmarks of one function: what others do on the machine does not count. */

const NAME_COLUMNS = 44;

/** CPU time that this thread has used so far, in ms. */
export function cpuMs(): number {
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1000;
}

/** Calls `work` with 0 to `count - 1`, and prints nanoseconds of CPU a call. */
export function measure(name: string, count: number, work: (index: number) => void): void {
  const start = cpuMs();
  for (let index = 0; index < count; index++) work(index);
  print(name, (((cpuMs() - start) * 1e6) / count).toFixed(0), "ns");
}

/** Prints milliseconds of CPU of one call. */
export function once(name: string, work: () => void): void {
  const start = cpuMs();
  work();
  print(name, (cpuMs() - start).toFixed(1), "ms");
}

function print(name: string, value: string, unit: string): void {
  console.log(`${name.padEnd(NAME_COLUMNS)} ${value.padStart(8)} ${unit}`);
}
