export function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}

// One view a buffer: records lie in a few ring memories, or in a reassembled payload now and then.
const views = new WeakMap<ArrayBufferLike, DataView>();
let lastBuffer: ArrayBufferLike | null = null;
let lastView: DataView = new DataView(new ArrayBuffer(0));

/** A view over the whole buffer under `bytes`, made once a buffer: add `bytes.byteOffset` to offsets into `bytes`. */
export function viewOf(bytes: Uint8Array): DataView {
  if (bytes.buffer === lastBuffer) return lastView;
  let view = views.get(bytes.buffer);
  if (view === undefined) {
    view = new DataView(bytes.buffer);
    views.set(bytes.buffer, view);
  }
  lastBuffer = bytes.buffer;
  lastView = view;
  return view;
}
