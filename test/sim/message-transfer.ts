/** Messages between simulated members travel as the bytes that real peers send each other. */

import { assert } from "../../src/base/assert.ts";
import { OutputBuffer } from "../../src/peer/output-buffer.ts";
import { MessageDecoder } from "../../src/peer/raft-message-decode.ts";
import { encodeMessage } from "../../src/peer/raft-message-encode.ts";
import type { RaftMessage } from "../../src/raft/raft.ts";

const out = new OutputBuffer();
const decoder = new MessageDecoder();

export function packMessage(message: RaftMessage): Uint8Array {
  out.length = 0;
  encodeMessage(out, message);
  return new Uint8Array(out.bytes.subarray(0, out.length));
}

/** Entries of the message are borrowed until the next call. */
export function unpackMessage(bytes: Uint8Array): RaftMessage {
  const message = decoder.decode(bytes, 0, bytes.length);
  assert(message !== null, "a message that a member sent cannot be decoded", bytes.length);
  return message;
}
