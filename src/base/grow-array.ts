/**
 * Growth of the arrays that hold a table. Left to the garbage collector, the arrays that were outgrown stay until the next full
 * collection, which a thread without objects hardly ever makes: together they are as long as the one in use.
 */

/** Arrays of tables. */
type TableArray = Int32Array<ArrayBuffer> | Float64Array<ArrayBuffer>;

/** Copies `old` to the begin of `grown`, which is returned, and gives the memory of `old` back: nobody may use it any more. */
export function moveInto<T extends TableArray>(grown: T, old: T): T {
  grown.set(old);
  release(old);
  return grown;
}

/** Gives the array's memory back now. It is empty afterwards, as is every other view of its buffer. */
export function release(array: TableArray): void {
  array.buffer.transfer(0);
}
