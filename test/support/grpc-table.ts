/** A service table that exercises every kind of method, for tests of both transports. */
import type { Call, MethodHandler, ServiceTable } from "../../src/grpc/service.ts";

/** Calls that wait, and what happened to them, as the handlers saw it. */
export class TableLog {
  /** Calls of `/test.T/Hang` that have been delivered and not cancelled. */
  readonly hanging = new Set<Call>();
  cancelled = 0;
  #waiters: (() => void)[] = [];

  /** Resolves once `condition` holds; it is looked at after each event. */
  async until(condition: () => boolean): Promise<void> {
    while (!condition()) await new Promise<void>((resolve) => this.#waiters.push(resolve));
  }

  changed(): void {
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const wake of waiters) wake();
  }
}

/** Bytes of each message of `/test.T/Many`. */
export const MANY_BYTES = 1_000;
const PARTS_BYTES = 40_000;

/**
 * Echo: unary. Big: unary, answers with as many bytes as the request's number says, in parts, as flow control allows. Fail: unary,
 * status 9 with the request as its text. Many: server streaming, that number of messages. Count: client streaming, answers with the number
 * of messages and bytes. Chat: bidi, echoes each message. Hang: unary, never answers. Header: answers with a request header.
 */
export function testTable(log: TableLog): ServiceTable {
  const methods: MethodHandler[] = [
    { path: "/test.T/Echo", kind: "unary", onMessage: echoAndEnd },
    {
      path: "/test.T/Fail",
      kind: "unary",
      onMessage: (call, bytes, start, end) => call.end(9, text(bytes, start, end)),
    },
    {
      path: "/test.T/Header",
      kind: "unary",
      onMessage(call, bytes, start, end) {
        reply(call, call.metadata(text(bytes, start, end)) ?? "(none)");
        call.end(0, "");
      },
    },
    { path: "/test.T/Big", kind: "unary", onMessage: startBig, onDrain: continueBig },
    {
      path: "/test.T/Many",
      kind: "serverStreaming",
      onMessage(call, bytes, start, end) {
        const message = new Uint8Array(MANY_BYTES).fill(7);
        for (let left = Number(text(bytes, start, end)); left > 0; left--)
          call.sendMessage(message, 0, MANY_BYTES);
        call.end(0, "");
      },
    },
    {
      path: "/test.T/Count",
      kind: "clientStreaming",
      onOpen: (call) => void (call.state = { messages: 0, bytes: 0 }),
      onMessage(call, _bytes, start, end) {
        const count = call.state as { messages: number; bytes: number };
        count.messages++;
        count.bytes += end - start;
      },
      onHalfClose(call) {
        const count = call.state as { messages: number; bytes: number };
        reply(call, `${count.messages} ${count.bytes}`);
        call.end(0, "");
      },
    },
    {
      path: "/test.T/Chat",
      kind: "bidi",
      onMessage: (call, bytes, start, end) => call.sendMessage(bytes, start, end),
      onHalfClose: (call) => call.end(0, ""),
      onCancel() {
        log.cancelled++;
        log.changed();
      },
    },
    {
      path: "/test.T/Hang",
      kind: "unary",
      onMessage(call) {
        log.hanging.add(call);
        log.changed();
      },
      onCancel(call) {
        log.hanging.delete(call);
        log.cancelled++;
        log.changed();
      },
    },
  ];
  return new Map(methods.map((method) => [method.path, method]));
}

function text(bytes: Uint8Array, start: number, end: number): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start).toString();
}

function reply(call: Call, answer: string): void {
  const bytes = Buffer.from(answer);
  call.sendMessage(bytes, 0, bytes.length);
}

function echoAndEnd(call: Call, bytes: Uint8Array, start: number, end: number): void {
  call.sendMessage(bytes, start, end);
  call.end(0, "");
}

function startBig(call: Call, bytes: Uint8Array, start: number, end: number): void {
  const total = Number(text(bytes, start, end));
  call.state = { left: total };
  call.startMessage(total);
  continueBig(call);
}

function continueBig(call: Call): void {
  const state = call.state as { left: number };
  const part = new Uint8Array(PARTS_BYTES).fill(5);
  while (state.left > 0) {
    const length = Math.min(state.left, PARTS_BYTES);
    state.left -= length;
    if (call.sendPart(part, 0, length) > 0 && state.left > 0) return;
  }
  call.end(0, "");
}
