/** `key`, `key=value` or `key=(value, value)`. */
export interface TraceArgument {
  readonly key: string;
  /** Empty for a bare key. */
  readonly values: readonly string[];
}

/** One case of a trace: what is asked, and what is to come out. */
export interface TraceCase {
  /** Line of the command in the file, from 1. */
  readonly line: number;
  readonly command: string;
  readonly args: readonly TraceArgument[];
  /** The lines between the command and `----`, without surrounding blank space. */
  readonly input: string;
  /** Every line ends in a newline; empty if nothing is expected. */
  readonly expected: string;
}

/** A trace file: cases, and between them what is kept as it stands when expectations are rewritten. */
export interface TraceFile {
  readonly cases: readonly TraceCase[];
  /** `texts[i]` goes before case i, its command and input included; one more stands behind the last case. */
  readonly texts: readonly string[];
}

const SEPARATOR = "----";

/**
 * Reads the datadriven format: a command line (a trailing `\` joins the next line), input lines, `----`, the expected output up to a
 * blank line. Output with blank lines stands between doubled separators. Lines that begin with `#` are comments.
 * @throws {SyntaxError} with the line's number
 */
export function parseTrace(text: string): TraceFile {
  const reader = new LineReader(text);
  const cases: TraceCase[] = [];
  const texts: string[] = [];
  for (;;) {
    const parsed = readCase(reader);
    texts.push(reader.takeText());
    if (parsed === null) return { cases, texts };
    cases.push({ ...parsed, expected: readExpected(reader) });
    reader.takeText();
  }
}

/** The file's text with `outputs` in place of what was expected. */
export function rewriteTrace(file: TraceFile, outputs: readonly string[]): string {
  const parts = file.cases.map((_, i) => {
    const isDoubled = /^[ \t]*$/m.test(outputs[i].slice(0, -1)) && outputs[i] !== "";
    const mark = isDoubled ? `${SEPARATOR}\n` : "";
    return `${file.texts[i]}${SEPARATOR}\n${mark}${outputs[i]}${mark}${mark}\n`;
  });
  return `${parts.join("")}${file.texts[file.cases.length]}`.replace(/\n\n$/, "\n");
}

function readCase(reader: LineReader): Omit<TraceCase, "expected"> | null {
  for (let line = reader.next(); line !== null; line = reader.next()) {
    const number = reader.lineNumber;
    let directive = line.trim();
    if (directive.startsWith("#")) continue;
    while (directive.endsWith("\\")) {
      directive = `${directive.slice(0, -1)} ${reader.next()?.trim() ?? ""}`;
    }
    const parsed = parseDirective(directive, number);
    // A subtest only groups cases.
    if (parsed === null || parsed.command === "subtest") continue;
    return { line: number, ...parsed, input: readInput(reader, number) };
  }
  return null;
}

function readInput(reader: LineReader, commandLine: number): string {
  const lines: string[] = [];
  for (let line = reader.peek(); line !== SEPARATOR; line = reader.peek()) {
    if (line === null) throw new SyntaxError(`line ${commandLine}: no ---- behind the command`);
    lines.push(line);
    reader.next();
  }
  return lines.join("\n").trim();
}

function readExpected(reader: LineReader): string {
  reader.next();
  if (reader.peek() === SEPARATOR) return readDoubled(reader);
  const lines: string[] = [];
  for (let line = reader.next(); line !== null && line.trim() !== ""; line = reader.next()) lines.push(line);
  return withNewlines(lines);
}

function readDoubled(reader: LineReader): string {
  reader.next();
  const lines: string[] = [];
  for (let line = reader.next(); line !== null; line = reader.next()) {
    if (line === SEPARATOR && reader.peek() === SEPARATOR) {
      reader.next();
      const behind = reader.next();
      if (behind !== null && behind !== "")
        throw new SyntaxError(`line ${reader.lineNumber}: no blank line behind a doubled ----`);
      return withNewlines(lines);
    }
    lines.push(line);
  }
  throw new SyntaxError(`line ${reader.lineNumber}: a doubled ---- does not end`);
}

function withNewlines(lines: readonly string[]): string {
  return lines.map((line) => `${line}\n`).join("");
}

/** Null for a blank line. */
function parseDirective(directive: string, line: number): { command: string; args: TraceArgument[] } | null {
  const [command, ...rest] = directive.split(/[ \t]+/);
  if (command === "") return null;
  const args: TraceArgument[] = [];
  let left = rest.join(" ").trim();
  while (left !== "") {
    const [argument, length] = parseArgument(left, line);
    args.push(argument);
    left = left.slice(length).trim();
  }
  return { command, args };
}

function parseArgument(text: string, line: number): [TraceArgument, number] {
  const key = /^[^ =]*/.exec(text)?.[0] ?? "";
  if (key === "") throw new SyntaxError(`line ${line}: an argument without a name: ${text}`);
  if (text[key.length] !== "=") return [{ key, values: [] }, key.length];
  const start = key.length + 1;
  if (text[start] !== "(") {
    const value = /^[^ ]*/.exec(text.slice(start))?.[0] ?? "";
    return [{ key, values: [value] }, start + value.length];
  }
  const end = closingParenthesis(text, start, line);
  return [{ key, values: splitValues(text.slice(start + 1, end)) }, end + 1];
}

function closingParenthesis(text: string, open: number, line: number): number {
  let depth = 0;
  for (let at = open; at < text.length; at++) {
    if (text[at] === "(") depth++;
    else if (text[at] === ")" && --depth === 0) return at;
  }
  throw new SyntaxError(`line ${line}: no closing parenthesis: ${text}`);
}

/** At the commas outside of inner parentheses. */
function splitValues(text: string): string[] {
  const values = [""];
  let depth = 0;
  for (const char of text) {
    if (char === "(") depth++;
    else if (char === ")") depth--;
    if (char === "," && depth === 0) values.push("");
    else values[values.length - 1] += char;
  }
  return values.map((value) => value.trimStart());
}

class LineReader {
  readonly #lines: readonly string[];
  #at = 0;
  #taken = 0;

  constructor(text: string) {
    const lines = text.split("\n");
    if (lines.at(-1) === "") lines.pop();
    this.#lines = lines;
  }

  /** Number of the line read last. */
  get lineNumber(): number {
    return this.#at;
  }

  peek(): string | null {
    return this.#lines[this.#at] ?? null;
  }

  next(): string | null {
    const line = this.peek();
    if (line !== null) this.#at++;
    return line;
  }

  /** What was read since the last call. */
  takeText(): string {
    const lines = this.#lines.slice(this.#taken, this.#at);
    this.#taken = this.#at;
    return withNewlines(lines);
  }
}
