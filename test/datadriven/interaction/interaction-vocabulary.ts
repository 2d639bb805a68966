/**
 * Interaction traces: members of a group, run one step at a time, and everything they do and say. The commands and their
 * output are those of etcd-io/raft's `rafttest` package, so its traces run here as they are.
 *
 * Read next: `commands.ts`, `environment.ts` (members and network), `trace-member.ts` (what drives a core).
 */
import type { TraceCase } from "../trace-case.ts";
import type { Vocabulary } from "../vocabulary.ts";
import { COMMANDS } from "./commands.ts";
import { Environment } from "./environment.ts";
import { MemberError } from "./trace-member.ts";

export const INTERACTION_VOCABULARY: Vocabulary = {
  name: "interaction",
  commands: Object.keys(COMMANDS),
  begin() {
    const environment = new Environment();
    return (testCase) => runCase(environment, testCase);
  },
};

function runCase(environment: Environment, testCase: TraceCase): string {
  const { output } = environment;
  output.clear();
  const error = runCommand(environment, testCase);
  // Errors are put out at every log level.
  const text = output.isQuiet ? error : output.text + error;
  return text === "" ? "ok" : text;
}

/** Returns an error's text, empty if there is none. */
function runCommand(environment: Environment, testCase: TraceCase): string {
  const command = COMMANDS[testCase.command];
  if (command === undefined) return "unknown command";
  try {
    command(environment, testCase);
    return "";
  } catch (error) {
    if (error instanceof MemberError) return error.message;
    throw error;
  }
}
