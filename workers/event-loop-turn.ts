/** One turn of the event loop: what waits for this thread (sockets, messages) is handled before this resolves. */
export function eventLoopTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
