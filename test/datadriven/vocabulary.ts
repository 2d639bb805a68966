import type { TraceCase } from "./trace-case.ts";

/** The commands of one kind of trace. */
export interface Vocabulary {
  readonly name: string;
  readonly commands: readonly string[];
  /** Begins a file: the function runs its cases in order and returns what each puts out. A case that cannot be run throws. */
  begin(): (testCase: TraceCase) => string;
}

/** A case that makes no sense: unlike an error of what is tested, which is output. */
export class TraceError extends Error {
  override readonly name = "TraceError";
}

/** The vocabulary to which most of a file's commands belong, null if none fits. A file may well hold an unknown command. */
export function recogniseVocabulary(
  cases: readonly TraceCase[],
  vocabularies: readonly Vocabulary[],
): Vocabulary | null {
  let best: Vocabulary | null = null;
  let bestCount = 0;
  for (const vocabulary of vocabularies) {
    const count = cases.filter(({ command }) => vocabulary.commands.includes(command)).length;
    if (count > bestCount) {
      best = vocabulary;
      bestCount = count;
    }
  }
  return best;
}
