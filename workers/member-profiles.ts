/** Profiles of all threads of a member, as the supervisor takes them. Loaded when somebody asks for the first one. */
import { setTimeout as sleep } from "node:timers/promises";
import type * as Comlink from "comlink";

import type { MemberMemory, ThreadProfiles } from "../src/server/http/pprof.ts";
import type { ThreadName } from "./control.ts";
import { DIAGNOSTICS, type ThreadDiagnostics, type ThreadMemory } from "./thread-diagnostics.ts";

/** A thread as it is reached from main. */
type Reached = ThreadDiagnostics | Comlink.Remote<ThreadDiagnostics>;

export class MemberProfiles implements ThreadProfiles {
  readonly #workers: ReadonlyMap<string, Reached>;

  /** @param workers those that run, at any time; main joins them */
  constructor(workers: ReadonlyMap<ThreadName, Comlink.Remote<ThreadDiagnostics>>) {
    this.#workers = workers;
  }

  get threads(): readonly string[] {
    return ["main", ...this.#workers.keys()];
  }

  async cpuProfiles(
    names: readonly string[],
    durationMs: number,
    signal: AbortSignal,
  ): Promise<ReadonlyMap<string, string>> {
    const chosen = names.map((name) => this.#thread(name));
    const begun = await Promise.allSettled(chosen.map(async (thread) => thread.startCpuProfile()));
    const running = chosen.filter((_, i) => begun[i].status === "fulfilled");
    const failed = begun.find((result) => result.status === "rejected");
    if (failed === undefined) {
      await sleep(durationMs, undefined, { signal }).catch(() => undefined);
    }
    // Whatever happened: no thread goes on taking samples.
    const profiles = await Promise.all(running.map(async (thread) => thread.stopCpuProfile()));
    if (failed !== undefined) throw failed.reason;
    return new Map(names.map((name, i) => [name, profiles[i]]));
  }

  async heapSnapshot(name: string, path: string): Promise<void> {
    await this.#thread(name).writeHeapSnapshot(path);
  }

  async memory(collect: boolean): Promise<MemberMemory> {
    const threads: Record<string, ThreadMemory> = {};
    // One after the other: the member goes on with the rest of its threads.
    for (const name of this.threads) threads[name] = await this.#thread(name).memory(collect);
    return { rss: process.memoryUsage.rss(), threads };
  }

  #thread(name: string): Reached {
    const thread = name === "main" ? DIAGNOSTICS : this.#workers.get(name);
    if (thread === undefined) throw new Error(`there is no thread ${name}`);
    return thread;
  }
}
