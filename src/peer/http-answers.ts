/** Answers of the peer listener in the form that Go's handlers give them. */

import type { IncomingMessage, ServerResponse } from "node:http";

const NOT_FOUND = "404 page not found";

/** A line of text with a status, as Go's http.Error writes it. */
export function answerError(response: ServerResponse, status: number, text: string): void {
  response.setHeader("Content-Type", "text/plain; charset=utf-8");
  response.setHeader("X-Content-Type-Options", "nosniff");
  answer(response, status, Buffer.from(`${text}\n`));
}

export function answerNotFound(response: ServerResponse): void {
  answerError(response, 404, NOT_FOUND);
}

export function answerJson(response: ServerResponse, status: number, json: string): void {
  response.setHeader("Content-Type", "application/json");
  answer(response, status, Buffer.from(json));
}

/** Ends the response; without effect when the client has gone. */
export function answer(response: ServerResponse, status: number, body: Uint8Array): void {
  response.statusCode = status;
  if (status !== 204) response.setHeader("Content-Length", body.length);
  response.end(body);
}

/** True if the method is the one allowed; otherwise the request is answered. */
export function allowMethod(request: IncomingMessage, response: ServerResponse, method: string): boolean {
  if (request.method === method) return true;
  response.setHeader("Allow", method);
  answerError(response, 405, "Method Not Allowed");
  return false;
}

/** Ends the connection unless the request's body is complete in time. */
export function limitBody(request: IncomingMessage, response: ServerResponse, limitMs: number): void {
  const timer = setTimeout(() => request.destroy(), limitMs);
  const clear = (): void => clearTimeout(timer);
  request.once("end", clear);
  // Also when the request was answered before its end, or its client went.
  response.once("close", clear);
}
