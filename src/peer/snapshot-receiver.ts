/**
 * POST /raft/snapshot: the message, then the database file, which is streamed to disk. The file gets its name only when it is
 * complete and durable; what a sender or a crash cuts off leaves a `tmp*` file at most, and none while this process lives.
 */

import { type FileHandle, open, rename, rm, stat } from "node:fs/promises";
import type { IncomingMessage } from "node:http";
import { join } from "node:path";
import { MessageType, type RaftMessage } from "../raft/raft.ts";
import { snapshotFileName } from "../raft/snapshot-service.ts";
import { readUint64 } from "./frame-assembler.ts";
import { LENGTH_BYTES } from "./message-stream.ts";
import { SNAPSHOT_MESSAGE_BYTES_MAX } from "./peer-limits.ts";
import { reasonOf } from "./peer-log.ts";
import { MessageDecoder } from "./raft-message-decode.ts";

const FILE_MODE = 0o600;

/** A request that is answered with a status and a text. */
export class SnapshotRefused extends Error {
  override readonly name = "SnapshotRefused";
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

/** A request's body, chunk by chunk; the sender's silence is limited while we wait for it, and not while our disk works. */
class BodyReader {
  readonly #request: IncomingMessage;
  readonly #idleTimeoutMs: number;
  readonly #chunks: AsyncIterator<Buffer>;

  constructor(request: IncomingMessage, idleTimeoutMs: number) {
    this.#request = request;
    this.#idleTimeoutMs = idleTimeoutMs;
    this.#chunks = request.iterator({ destroyOnReturn: false }) as AsyncIterator<Buffer>;
  }

  /** The next chunk; null at the end. Rejects when the body is cut off. */
  async next(): Promise<Buffer | null> {
    this.#request.socket.setTimeout(this.#idleTimeoutMs);
    const { done, value } = await this.#chunks.next();
    this.#request.socket.setTimeout(0);
    return done === true ? null : value;
  }

  /** Lets the rest of the body pass unseen, so that the sender comes to read our answer. */
  async discard(): Promise<void> {
    await this.#chunks.return?.();
    this.#request.socket.setTimeout(this.#idleTimeoutMs);
    this.#request.resume();
  }
}

/** What lies on disk now. */
export interface ReceivedSnapshot {
  readonly message: RaftMessage;
  /** Of the file. */
  readonly bytes: number;
  /** From its first byte until it has its name, and its sync alone. */
  readonly storeMs: number;
  readonly syncMs: number;
}

/**
 * Stores the snapshot of a request's body in `folder`, under its final name. Rejects with {@link SnapshotRefused}, with nothing
 * left behind.
 * @param idleTimeoutMs how long the sender may be silent
 * @param check sees the message before the file is read, and may throw
 */
export async function receiveSnapshot(
  request: IncomingMessage,
  folder: string,
  idleTimeoutMs: number,
  check: (message: RaftMessage) => void,
): Promise<ReceivedSnapshot> {
  const chunks = new BodyReader(request, idleTimeoutMs);
  try {
    return await receive(chunks, folder, check);
  } finally {
    await chunks.discard();
  }
}

async function receive(
  chunks: BodyReader,
  folder: string,
  check: (message: RaftMessage) => void,
): Promise<ReceivedSnapshot> {
  const { message, rest } = await readMessage(chunks);
  if (message.type !== MessageType.snap || message.snapshot === null) {
    throw new SnapshotRefused(400, "wrong raft message type");
  }
  check(message);
  try {
    const name = join(folder, snapshotFileName(message.snapshot.index));
    return { message, ...(await store(chunks, rest, folder, name)) };
  } catch (error) {
    throw new SnapshotRefused(500, `failed to save KV snapshot (${reasonOf(error)})`);
  }
}

/** Reads u64 BE length and message; `rest` is what came of the file with them. */
async function readMessage(chunks: BodyReader): Promise<{ message: RaftMessage; rest: Buffer }> {
  let head: Buffer = Buffer.alloc(0);
  let needed = LENGTH_BYTES;
  const parts: Buffer[] = [];
  let length = 0;
  for (;;) {
    if (length >= needed) {
      head = parts.length === 1 ? parts[0] : Buffer.concat(parts, length);
      parts.splice(0, parts.length, head);
      const messageBytes = readUint64(head, 0);
      if (messageBytes > SNAPSHOT_MESSAGE_BYTES_MAX) throw decodeFailure("message too large");
      needed = LENGTH_BYTES + messageBytes;
      if (length >= needed) break;
    }
    const next = await nextChunk(chunks);
    if (next === null) throw decodeFailure("unexpected EOF");
    parts.push(next);
    length += next.length;
  }
  const message = new MessageDecoder().decode(head, LENGTH_BYTES, needed);
  if (message === null) throw decodeFailure("malformed message");
  return { message, rest: head.subarray(needed) };
}

async function nextChunk(chunks: BodyReader): Promise<Buffer | null> {
  try {
    return await chunks.next();
  } catch (error) {
    throw decodeFailure(reasonOf(error));
  }
}

function decodeFailure(reason: string): SnapshotRefused {
  return new SnapshotRefused(400, `failed to decode raft message (${reason})`);
}

/** Writes, syncs and names the file. A file of that name is as good: then the new one goes. */
async function store(
  chunks: BodyReader,
  rest: Buffer,
  folder: string,
  name: string,
): Promise<Omit<ReceivedSnapshot, "message">> {
  const startedMs = performance.now();
  const { randomBytes } = process.getBuiltinModule("node:crypto");
  const temporary = join(folder, `tmp${randomBytes(6).toString("hex")}`);
  try {
    const file = await open(temporary, "wx", FILE_MODE);
    let bytes: number;
    let syncMs: number;
    try {
      bytes = await writeAll(file, chunks, rest);
      const writtenMs = performance.now();
      await file.sync();
      syncMs = performance.now() - writtenMs;
    } finally {
      await file.close();
    }
    if (await exists(name)) await rm(temporary);
    else await rename(temporary, name);
    await syncFolder(folder);
    return { bytes, storeMs: performance.now() - startedMs, syncMs };
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}

async function writeAll(file: FileHandle, chunks: BodyReader, rest: Buffer): Promise<number> {
  let bytes = 0;
  for (let chunk: Buffer = rest; ;) {
    if (chunk.length > 0) await file.writeFile(chunk);
    bytes += chunk.length;
    const next = await chunks.next();
    if (next === null) return bytes;
    chunk = next;
  }
}

async function exists(name: string): Promise<boolean> {
  return await stat(name).then(
    () => true,
    () => false,
  );
}

async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
