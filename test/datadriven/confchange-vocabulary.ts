import { Changer, type ChangeResult, type GroupState } from "../../src/raft/confchange/changer.ts";
import type { ConfChangeSingle } from "../../src/raft/raft.ts";
import { Configuration } from "../../src/raft/tracker/configuration.ts";
import { describeProgress } from "../../src/raft/tracker/tracker.ts";
import { parseChanges } from "./parse-changes.ts";
import type { TraceCase } from "./trace-case.ts";
import type { Vocabulary } from "./vocabulary.ts";

/** `simple`, `enter-joint autoleave=true` and `leave-joint`, with changes as input. Each case finds a log that is one entry longer. */
export const CONFCHANGE_VOCABULARY: Vocabulary = {
  name: "confchange",
  commands: ["simple", "enter-joint", "leave-joint"],
  begin() {
    let state: GroupState = { configuration: Configuration.empty, progress: new Map() };
    let lastIndex = 0;
    return (testCase) => {
      const changes = parseChanges(testCase.input);
      const changer = new Changer(state, {
        lastIndex: lastIndex++,
        inflightCountMax: 10,
        inflightBytesMax: 0,
      });
      const result = typeof changes === "string" ? changes : runCommand(changer, testCase, changes);
      if (typeof result === "string") return result;
      if (!result.ok) return result.error;
      state = result;
      return `${result.configuration.toString()}\n${describeProgress(result.progress)}`;
    };
  },
};

function runCommand(
  changer: Changer,
  { command, args }: TraceCase,
  changes: readonly ConfChangeSingle[],
): ChangeResult | string {
  switch (command) {
    case "simple":
      return changer.simple(changes);
    case "enter-joint":
      return changer.enterJoint(
        args.some(({ key, values }) => key === "autoleave" && values[0] === "true"),
        changes,
      );
    case "leave-joint":
      return changes.length > 0 ? "this command takes no input" : changer.leaveJoint();
    default:
      return "unknown command";
  }
}
