/**
 * What every thread offers to whoever looks for a fault in it: a CPU profile and a heap snapshot of itself. The supervisor calls it
 * through the thread's control channel, so a thread that sleeps in `Atomics.wait` is woken for it; everything here ends within the call,
 * because such a thread gives its event loop one turn only. The inspector is loaded when it is first asked for.
 */
import type { Session } from "node:inspector";

/** The functions that each thread has beside its own control interface. */
export interface ThreadDiagnostics {
  /** Begins to take samples. Throws when it does already. */
  startCpuProfile(): void;
  /** Ends it; the JSON of a `.cpuprofile` file. Throws when there was none. */
  stopCpuProfile(): string;
  /** Writes a `.heapsnapshot` file, which is not there yet; the thread does nothing else meanwhile. Throws the file system's error. */
  writeHeapSnapshot(path: string): void;
}

/** Finer samples would slow a busy thread, coarser ones miss functions: V8's own choice. */
const SAMPLING_INTERVAL_US = 1000;

let profiling: Session | null = null;

/** Those of the thread that imports this. */
export const DIAGNOSTICS: ThreadDiagnostics = {
  startCpuProfile(): void {
    if (profiling !== null) throw new Error("a CPU profile is being taken");
    const { Session } = process.getBuiltinModule("node:inspector");
    const session = new Session();
    session.connect();
    session.post("Profiler.enable");
    session.post("Profiler.setSamplingInterval", { interval: SAMPLING_INTERVAL_US });
    session.post("Profiler.start");
    profiling = session;
  },

  stopCpuProfile(): string {
    const session = profiling;
    if (session === null) throw new Error("no CPU profile is being taken");
    profiling = null;
    let json = "";
    let failure: Error | null = null;
    // A session of the own thread calls back before it returns.
    session.post("Profiler.stop", (error, result) => {
      if (error === null) json = JSON.stringify(result.profile);
      else failure = error;
    });
    session.disconnect();
    if (failure !== null) throw failure;
    return json;
  },

  writeHeapSnapshot(path): void {
    process.getBuiltinModule("node:v8").writeHeapSnapshot(path);
  },
};
