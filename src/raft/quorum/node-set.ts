/** A set of node ids in ascending order. Immutable: a configuration that is in use never changes under its reader. */
export class NodeSet {
  static readonly empty = new NodeSet([]);

  /** Ascending, each once. */
  readonly ids: readonly bigint[];

  private constructor(ids: readonly bigint[]) {
    this.ids = ids;
  }

  /** Order and repetition in `ids` do not matter. */
  static of(ids: Iterable<bigint>): NodeSet {
    const distinct = [...new Set(ids)];
    return distinct.length === 0 ? NodeSet.empty : new NodeSet(distinct.sort(compareIds));
  }

  get size(): number {
    return this.ids.length;
  }

  has(id: bigint): boolean {
    return this.ids.includes(id);
  }

  with(id: bigint): NodeSet {
    return this.has(id) ? this : NodeSet.of([...this.ids, id]);
  }

  without(id: bigint): NodeSet {
    return this.has(id) ? NodeSet.of(this.ids.filter((other) => other !== id)) : this;
  }

  union(other: NodeSet): NodeSet {
    return NodeSet.of([...this.ids, ...other.ids]);
  }

  /** How many ids stand in one of both sets only. */
  differenceSize(other: NodeSet): number {
    const common = this.ids.filter((id) => other.has(id)).length;
    return this.size + other.size - 2 * common;
  }

  /** `(1 2 3)` */
  toString(): string {
    return `(${this.ids.join(" ")})`;
  }
}

/** For sorting ids. */
export function compareIds(a: bigint, b: bigint): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
