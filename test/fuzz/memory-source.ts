/** Keeps all revisions a store hands over, and gives them back: storage as the MVCC store sees it. */
import type { RevisionSink, RevisionSource } from "../../src/mvcc/store.ts";

export class MemorySource implements RevisionSink, RevisionSource {
  readonly revisions = new Map<string, Uint8Array>();

  putRevision(main: number, sub: number, bytes: Uint8Array, start: number, end: number): void {
    this.revisions.set(`${main}/${sub}`, bytes.slice(start, end));
  }
  putTombstone(main: number, sub: number, bytes: Uint8Array, start: number, end: number): void {
    this.revisions.set(`${main}/${sub}t`, bytes.slice(start, end));
  }
  deleteRevision(main: number, sub: number, tombstone: boolean): void {
    this.revisions.delete(`${main}/${sub}${tombstone ? "t" : ""}`);
  }
  getRevision(main: number, sub: number, tombstone: boolean): Uint8Array | undefined {
    return this.revisions.get(`${main}/${sub}${tombstone ? "t" : ""}`);
  }
}
