/** A number that threads share: it moves when another file takes the place of the database. Who follows: `following-reader.ts`. */

/** Memory of a generation. */
export function createGenerationMemory(): SharedArrayBuffer {
  return new SharedArrayBuffer(4);
}

/** Storage: another file is at the database's path from now on. */
export function nextGeneration(memory: SharedArrayBuffer): void {
  Atomics.add(new Int32Array(memory), 0, 1);
}
