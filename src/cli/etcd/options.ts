/** From the words of the command line to a configuration and an open log, or to the end of the program. */
import { readFileSync } from "node:fs";

import type { LogLine } from "../../config/log-line.ts";
import { loadConfig, type Config } from "../../config/config.ts";
import { parseLogRotation } from "../../config/log-rotation.ts";
import type { LineOutput } from "../../telemetry/line-output.ts";
import { openLog, type Log } from "../../telemetry/log.ts";
import type { LogLevel } from "../../telemetry/logger.ts";

/** Everything that a member is started with, or the exit code of a program that has said what there was to say. */
export type Options =
  | { readonly kind: "run"; readonly config: Config; readonly log: Log }
  | { readonly kind: "exit"; readonly code: number };

/** Reads the options; prints help, version and complaints, and logs what etcd logs about its flags. */
export async function readOptions(words: readonly string[]): Promise<Options> {
  const outcome = await loadConfig({
    argv: words,
    env: process.env,
    readFile: (path) => readFileSync(path, "utf8"),
  });
  if (outcome.kind === "exit") {
    if (outcome.log.length > 0) logLines(openDefaultLog(), outcome.log);
    if (outcome.stderr !== "") process.stderr.write(outcome.stderr);
    if (outcome.stdout !== "") process.stdout.write(outcome.stdout);
    return { kind: "exit", code: outcome.code };
  }
  const { config } = outcome;
  const log = await openConfiguredLog(config);
  if (log === undefined) return { kind: "exit", code: 1 };
  logLines(log, outcome.log);
  return { kind: "run", config, log };
}

/** The level that the member starts with. */
export function logLevelOf({ logLevel }: Config): LogLevel {
  return logLevel === "dpanic" ? "panic" : (logLevel as LogLevel);
}

/** Few rotate their log: the others do not load what does it. */
async function rotatingFiles(config: Config): Promise<(path: string) => LineOutput> {
  const settings = parseLogRotation(config.logRotationConfigJson);
  const { RotatingFile } = await import("../../telemetry/rotating-file.ts");
  return (path) => new RotatingFile(path, settings);
}

async function openConfiguredLog(config: Config): Promise<Log | undefined> {
  try {
    return openLog({
      level: logLevelOf(config),
      format: config.logFormat === "console" ? "console" : "json",
      outputs: config.logOutputs,
      ...(config.enableLogRotation ? { openFile: await rotatingFiles(config) } : {}),
    });
  } catch (error) {
    openDefaultLog().warn("failed to verify flags", { error });
    return undefined;
  }
}

/** For what happens before the configured log exists. */
function openDefaultLog(): Log {
  return openLog({ level: "info", format: "json", outputs: ["default"] });
}

function logLines(log: Log, lines: readonly LogLine[]): void {
  for (const { level, msg, fields } of lines) log[level](msg, fields);
}
