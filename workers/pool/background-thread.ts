/**
 * Work beside the serving of clients, such as copies of the database, must not take their cores: the system is told that the calling
 * thread may wait. Where cores are free it runs as fast as before.
 */
import { readlinkSync } from "node:fs";
import { getPriority, setPriority } from "node:os";

/** A tenth of the weight of the threads that serve, by Linux' scale; other systems know priorities of whole processes only. */
const NICER_BY = 10;
const NICEST = 19;

/** Lowers the priority of the calling thread, once. Where that is not possible nothing happens: it is a hint. */
export function yieldToOthers(): void {
  const thread = threadOfSystem();
  if (thread === null) return;
  try {
    setPriority(thread, Math.min(NICEST, getPriority(thread) + NICER_BY));
  } catch {
    // Not allowed here.
  }
}

/** The system's number of the calling thread; null where threads cannot be told apart. */
export function threadOfSystem(): number | null {
  if (process.platform !== "linux") return null;
  try {
    // <process>/task/<thread>
    const thread = Number(readlinkSync("/proc/thread-self").split("/").at(-1));
    return Number.isSafeInteger(thread) && thread > 0 ? thread : null;
  } catch {
    return null;
  }
}
