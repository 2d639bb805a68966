/** Levels of the log, lowest first. At the last one nothing is put out, not even what commands say. */
export const LOG_LEVELS = ["DEBUG", "INFO", "WARN", "ERROR", "FATAL", "NONE"] as const;

/** Collects what a case puts out: texts of commands and the log of the members, in the order in which they come. */
export class TraceOutput {
  #text = "";
  #level = 0;

  get isQuiet(): boolean {
    return this.#level === LOG_LEVELS.length - 1;
  }

  /** Index into {@link LOG_LEVELS}. */
  get level(): number {
    return this.#level;
  }

  set level(level: number) {
    this.#level = level;
  }

  get text(): string {
    return this.#text;
  }

  clear(): void {
    this.#text = "";
  }

  write(text: string): void {
    if (!this.isQuiet) this.#text += text;
  }

  log(level: string, message: string): void {
    const at = LOG_LEVELS.findIndex((name) => name === level.toUpperCase());
    if (at >= this.#level) this.write(`${LOG_LEVELS[at]} ${message}\n`);
  }

  /** Runs `body` and indents what it puts out. */
  indented(body: () => void): void {
    const before = this.#text;
    this.#text = "";
    try {
      body();
    } finally {
      const lines = this.#text === "" ? [] : this.#text.replace(/\n$/, "").split("\n");
      this.#text = before + lines.map((line) => `  ${line}\n`).join("");
    }
  }
}
