/** Answers in the form that Go's net/http gives them: clients compare texts and headers. */
import type { IncomingMessage, ServerResponse } from "node:http";

const PLAIN = "text/plain; charset=utf-8";

/** A whole answer. */
export function sendText(response: ServerResponse, status: number, body: string, contentType = PLAIN): void {
  response.statusCode = status;
  response.setHeader("Content-Type", contentType);
  response.setHeader("Content-Length", Buffer.byteLength(body));
  response.end(body);
}

/** An error: its text and a line end. */
export function sendError(response: ServerResponse, status: number, text: string): void {
  response.setHeader("X-Content-Type-Options", "nosniff");
  sendText(response, status, `${text}\n`);
}

/** The answer to a path that nobody serves. */
export function sendNotFound(response: ServerResponse): void {
  sendError(response, 404, "404 page not found");
}

/** True for GET; any other method has been answered with 405. */
export function allowGet(request: IncomingMessage, response: ServerResponse): boolean {
  if (request.method === "GET") return true;
  response.setHeader("Allow", "GET");
  sendError(response, 405, "Method Not Allowed");
  return false;
}
