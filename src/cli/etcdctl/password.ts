/** Asks for a password on the terminal. */
import { spawnSync } from "node:child_process";
import { isatty } from "node:tty";
import { decodeOsString } from "../common/os-string.ts";
import { flush, LineReader, print, printLine } from "../common/terminal.ts";

/** Prints `prompt` and reads a line without showing it. From a pipe the line is simply read. */
export function askPassword(prompt: string): string {
  print(prompt);
  flush();
  const isTerminal = isatty(0);
  if (isTerminal) setEcho(false);
  try {
    return decodeOsString(new LineReader().next() ?? new Uint8Array(0)).replace(/\r$/, "");
  } finally {
    if (isTerminal) {
      setEcho(true);
      printLine("");
    }
  }
}

function setEcho(on: boolean): void {
  spawnSync("stty", [on ? "echo" : "-echo"], { stdio: ["inherit", "ignore", "ignore"] });
}
