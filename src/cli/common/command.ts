/**
 * Commands and how the words of a command line find theirs, in the manner of cobra, which etcd's tools use: the first words that
 * are not flags name the command, and any unique beginning of a name will do.
 */
import type { FlagSpec, Flags } from "./flags.ts";

/** A command in the table of all commands. What it does is loaded only when it runs or its own help is asked for. */
export interface CommandEntry {
  readonly name: string;
  /** One line for the list of commands. */
  readonly summary: string;
  /** A group has commands below it and does nothing itself. */
  readonly commands?: readonly CommandEntry[];
  /** Flags of this command and of all below it. */
  readonly inheritedFlags?: readonly FlagSpec[];
  readonly load?: () => Promise<{ readonly command: Command }>;
}

/** What a command's own file says of it. */
export interface Command {
  /** As in the usage: name and arguments. */
  readonly usage: string;
  /** Longer help; lines as they are to appear. */
  readonly description?: string;
  readonly flags?: readonly FlagSpec[];
  /** Checks the number of arguments before anything else. Returns what is wrong. */
  readonly checkArgs?: (args: readonly string[]) => string | undefined;
  /** Throws CliError to end with another exit code than 0. */
  readonly run: (context: CommandContext) => Promise<void> | void;
}

/** What a running command is given. */
export interface CommandContext {
  readonly args: readonly string[];
  /** Where in `args` those begin that stood behind `--`; undefined if there was none. */
  readonly dashAt: number | undefined;
  readonly flags: Flags;
  /** Flags that the command has from the commands above it, for the environment. */
  readonly inherited: readonly FlagSpec[];
}

/** A command that was found, with the way to it. */
export interface FoundCommand {
  /** From the program itself down to the command. */
  readonly path: readonly CommandEntry[];
  /** All words that do not name it. */
  readonly args: string[];
}

/** Finds the command that the words name: as far down as they match. */
export function findCommand(root: CommandEntry, words: readonly string[]): FoundCommand {
  const path = [root];
  const args = [...words];
  for (;;) {
    const entry = path.at(-1)!;
    const at = firstNameIndex(args, inheritedFlags(path));
    const next = at === -1 ? undefined : matchName(entry.commands ?? [], args[at]);
    if (next === undefined) return { path, args };
    path.push(next);
    args.splice(at, 1);
  }
}

/** Flags that a command has from itself and from those above it, for all below. */
export function inheritedFlags(path: readonly CommandEntry[]): FlagSpec[] {
  return path.flatMap((entry) => entry.inheritedFlags ?? []);
}

/** Exactly this name, or the only one that begins so. */
function matchName(entries: readonly CommandEntry[], word: string): CommandEntry | undefined {
  const exact = entries.find((entry) => entry.name === word);
  if (exact !== undefined) return exact;
  const matches = entries.filter((entry) => entry.name.startsWith(word));
  return matches.length === 1 ? matches[0] : undefined;
}

/** Index of the first word that is neither a flag nor a flag's value; -1 if there is none before `--`. */
export function firstNameIndex(words: readonly string[], flags: readonly FlagSpec[]): number {
  for (let i = 0; i < words.length; i++) {
    const word = words[i];
    if (word === "--") return -1;
    if (word !== "" && !word.startsWith("-")) return i;
    if (takesNextWord(word, flags)) i++;
  }
  return -1;
}

/** A flag whose value is the next word. One that is not known (here: a command's own) counts as such, as in cobra. */
function takesNextWord(word: string, flags: readonly FlagSpec[]): boolean {
  if (word.includes("=")) return false;
  if (word.startsWith("--"))
    return flags.find((flag) => flag.name === word.slice(2))?.type !== "bool" && word !== "--help";
  if (word.length !== 2) return false;
  return flags.find((flag) => flag.short === word[1])?.type !== "bool" && word !== "-h";
}

/** Names close to a word that names nothing: within two edits, or beginning with it. */
export function suggestNames(entries: readonly CommandEntry[], word: string): string[] {
  const wanted = word.toLowerCase();
  return entries
    .map((entry) => entry.name)
    .filter((name) => editDistance(wanted, name.toLowerCase()) <= 2 || name.toLowerCase().startsWith(wanted));
}

/** Levenshtein distance. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const replaced = row[j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(replaced, row[j] + 1, next[j - 1] + 1));
    }
    row = next;
  }
  return row[b.length];
}
