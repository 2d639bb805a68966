/** What a scenario of `npm run load` is, and how it reads its options. */

/** One option on the command line. */
export interface FlagSpec {
  /** Name of its value in the help; an option without one is a switch. */
  readonly value?: string;
  readonly help: string;
  readonly fallback?: string | number;
}

/** One load with a verdict. */
export interface Scenario {
  readonly name: string;
  /** For the list of scenarios, without a full stop. */
  readonly summary: string;
  readonly flags: Readonly<Record<string, FlagSpec>>;
  /** Resolves with the verdict: true if all is as it should be. Rejects when it could not be carried out. */
  run(flags: Flags): Promise<boolean>;
}

/** A mistake of the caller: shown without a stack. */
export class UsageError extends Error {}

/** Who is under load has failed: the run cannot go on. Shown without a stack, too. */
export class LoadError extends Error {}

/** The options of a run. */
export class Flags {
  readonly #specs: Readonly<Record<string, FlagSpec>>;
  readonly #values: Readonly<Record<string, string | boolean | undefined>>;

  constructor(
    specs: Readonly<Record<string, FlagSpec>>,
    values: Readonly<Record<string, string | boolean | undefined>>,
  ) {
    this.#specs = specs;
    this.#values = values;
  }

  /** The text given, or the fallback; undefined without either. */
  text(name: string): string | undefined {
    const value = this.#values[name] ?? this.#specs[name].fallback;
    return value === undefined ? undefined : String(value);
  }

  isSet(name: string): boolean {
    return this.#values[name] !== undefined;
  }

  /** A number that is not below `min`. Throws UsageError. */
  number(name: string, min = 0): number {
    const text = this.text(name) ?? "";
    const value = Number(text);
    if (text === "" || !(value >= min))
      throw new UsageError(`--${name}=${text}: a number of ${min} or more is expected`);
    return value;
  }

  /** A whole number that is not below `min`. Throws UsageError. */
  integer(name: string, min = 0): number {
    const value = this.number(name, min);
    if (!Number.isInteger(value)) throw new UsageError(`--${name}=${value}: a whole number is expected`);
    return value;
  }

  /** A list by commas of some of `known`; all of them unless given. Throws UsageError. */
  subset(name: string, known: readonly string[]): readonly string[] {
    const text = this.text(name);
    if (text === undefined) return known;
    const chosen = text.split(",");
    const wrong = chosen.find((each) => !known.includes(each));
    if (wrong !== undefined)
      throw new UsageError(`--${name}=${wrong}: one of ${known.join(", ")} is expected`);
    return chosen;
  }
}
