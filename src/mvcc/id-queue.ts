/** First in, first out, of key ids; a ring that doubles when full. */
export class IdQueue {
  #ids = new Uint32Array(1024);
  #head = 0;
  length = 0;

  push(id: number): void {
    if (this.length === this.#ids.length) this.#grow();
    this.#ids[(this.#head + this.length++) & (this.#ids.length - 1)] = id;
  }

  /** Takes the oldest id; the queue is not empty. */
  shift(): number {
    const id = this.#ids[this.#head];
    this.#head = (this.#head + 1) & (this.#ids.length - 1);
    this.length--;
    return id;
  }

  get allocatedBytes(): number {
    return this.#ids.byteLength;
  }

  /** A copy, oldest first. */
  toArray(): Uint32Array {
    const copy = new Uint32Array(this.length);
    for (let index = 0; index < this.length; index++) {
      copy[index] = this.#ids[(this.#head + index) & (this.#ids.length - 1)];
    }
    return copy;
  }

  #grow(): void {
    const ids = new Uint32Array(this.#ids.length * 2);
    ids.set(this.toArray());
    this.#ids = ids;
    this.#head = 0;
  }
}
