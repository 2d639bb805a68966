/**
 * What every thread offers to whoever looks for a fault in it: a CPU profile, a heap snapshot and the memory of itself. The supervisor calls it
 * through the thread's control channel, so a thread that sleeps in `Atomics.wait` is woken for it; everything here ends within the call,
 * because such a thread gives its event loop one turn only. The inspector is loaded when it is first asked for.
 */
import type { Session } from "node:inspector";

/** Memory of one thread, bytes. */
export interface ThreadMemory {
  readonly heapUsed: number;
  /** What V8 has taken from the system for the heap. */
  readonly heapTotal: number;
  /** Outside of the heap and kept by its objects. */
  readonly external: number;
  /** Made by this thread, shared ones too. */
  readonly arrayBuffers: number;
}

/** The functions that each thread has beside its own control interface. */
export interface ThreadDiagnostics {
  /** Begins to take samples. Throws when it does already. */
  startCpuProfile(): void;
  /** Ends it; the JSON of a `.cpuprofile` file. Throws when there was none. */
  stopCpuProfile(): string;
  /** Writes a `.heapsnapshot` file, which is not there yet; the thread does nothing else meanwhile. Throws the file system's error. */
  writeHeapSnapshot(path: string): void;
  /** Memory now or, with `collect`, behind a full collection, for which the thread stands still. */
  memory(collect: boolean): ThreadMemory;
}

/** Finer samples would slow a busy thread, coarser ones miss functions: V8's own choice. */
const SAMPLING_INTERVAL_US = 1000;

let profiling: Session | null = null;
/** Made with the first use: each one brings a context of its own, which would be in what is measured. */
let collectGarbage: (() => void) | null = null;

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

  memory(collect): ThreadMemory {
    if (collect) (collectGarbage ??= exposeCollector())();
    const { heapUsed, heapTotal, external, arrayBuffers } = process.memoryUsage();
    return { heapUsed, heapTotal, external, arrayBuffers };
  },
};

/**
 * V8's function `gc`, which contexts have that are made while its flag is set. As the last resort before it gives up for want of
 * memory: it also gives back the pages that a heap keeps to grow into, which would hide what is kept by something.
 */
function exposeCollector(): () => void {
  const { setFlagsFromString } = process.getBuiltinModule("node:v8");
  setFlagsFromString("--expose-gc");
  const collect = process.getBuiltinModule("node:vm").runInNewContext("gc") as (how: object) => void;
  setFlagsFromString("--no-expose-gc");
  return () => collect({ type: "major", execution: "sync", flavor: "last-resort" });
}
