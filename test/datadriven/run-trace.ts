import { parseTrace, rewriteTrace, type TraceCase } from "./trace-case.ts";
import { diffLines } from "./diff-lines.ts";
import { recogniseVocabulary, type Vocabulary } from "./vocabulary.ts";

/** What became of one trace file. */
export interface TraceOutcome {
  readonly caseCount: number;
  /** Null if every case put out what is expected. */
  readonly failure: string | null;
  /** The file's text with what the cases did put out; null if one could not be run. */
  readonly rewritten: string | null;
}

/** Runs the cases of a trace up to the first that differs; all of them if the text is to be rewritten. */
export function runTrace(
  text: string,
  vocabularies: readonly Vocabulary[],
  options: { rewrite: boolean },
): TraceOutcome {
  const file = parseTrace(text);
  const vocabulary = recogniseVocabulary(file.cases, vocabularies);
  if (vocabulary === null) return failed(0, file.cases.length === 0 ? "no case" : "unknown commands");
  const run = vocabulary.begin();
  const outputs: string[] = [];
  for (const testCase of file.cases) {
    let output: string;
    try {
      output = terminated(run(testCase));
    } catch (error) {
      return failed(outputs.length, `${describeCase(testCase)}\n${describeError(error)}`);
    }
    outputs.push(output);
    if (output !== testCase.expected && !options.rewrite) {
      const diff = diffLines(testCase.expected, output);
      return failed(outputs.length, `${describeCase(testCase)}\n${diff}`);
    }
  }
  return { caseCount: outputs.length, failure: null, rewritten: rewriteTrace(file, outputs) };
}

function failed(caseCount: number, failure: string): TraceOutcome {
  return { caseCount, failure, rewritten: null };
}

function terminated(output: string): string {
  return output === "" || output.endsWith("\n") ? output : `${output}\n`;
}

function describeCase({ line, command, input }: TraceCase): string {
  return `line ${line}: ${command}${input === "" ? "" : `\n${input}`}`;
}

function describeError(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}
