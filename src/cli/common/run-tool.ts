/** Runs a command line tool: finds the command, reads its flags, prints help and errors, returns the exit code. */
import { CliError, ExitCode } from "./cli-error.ts";
import type { Command, CommandEntry } from "./command.ts";
import { findCommand, firstNameIndex, inheritedFlags, suggestNames } from "./command.ts";
import { FlagProblem, parseFlags } from "./flags.ts";
import { flush, print, printErrorLine } from "./terminal.ts";
import { helpFlag, usageText } from "./usage.ts";

/**
 * Runs the command that `words` (the command line without the program) name. Resolves with the exit code. Errors other than
 * CliError are defects of the tool and are thrown.
 */
export async function runTool(program: CommandEntry, words: readonly string[]): Promise<number> {
  const root = withHelp(program);
  const { path, args } = findCommand(root, words);
  try {
    if (path.length === 1) checkTopLevel(root, args);
    if (path.at(-1)!.name === "help" && path.length === 2) return await printHelp(root, args);
    return await runCommand(path, args);
  } catch (error) {
    if (!(error instanceof CliError)) throw error;
    if (error.message !== "") printErrorLine(`Error: ${error.message}`);
    return error.exitCode;
  } finally {
    flush();
  }
}

/** `help` is one of the commands. */
function withHelp(root: CommandEntry): CommandEntry {
  const help = { name: "help", summary: "Help about any command" };
  return { ...root, commands: [...root.commands!, help] };
}

/** A word that names no command, where one had to. */
function checkTopLevel(root: CommandEntry, args: readonly string[]): void {
  const at = firstNameIndex(args, inheritedFlags([root]));
  if (at === -1) return;
  const close = suggestNames(root.commands!, args[at]);
  const suggestions =
    close.length === 0 ? "" : `\n\nDid you mean this?\n${close.map((name) => `\t${name}\n`).join("")}`;
  const hint = `Run '${root.name} --help' for usage.`;
  throw new CliError(
    ExitCode.error,
    `unknown command "${args[at]}" for "${root.name}"${suggestions}\n${hint}`,
  );
}

async function runCommand(path: readonly CommandEntry[], words: readonly string[]): Promise<number> {
  const entry = path.at(-1)!;
  const command = (await entry.load?.())?.command;
  const inherited = inheritedFlags(path.slice(0, -1));
  const own = [helpFlag(entry.name), ...(command?.flags ?? []), ...(entry.inheritedFlags ?? [])];
  try {
    const { flags, args, dashAt } = parseFlags([...own, ...inherited], words);
    if (flags.bool("help") || command === undefined) {
      print(usageText(path, command));
      return ExitCode.success;
    }
    const problem = command.checkArgs?.(args);
    if (problem !== undefined) return printUsageError(problem, path, command);
    await command.run({ args, dashAt, flags, inherited });
    return ExitCode.success;
  } catch (error) {
    if (!(error instanceof FlagProblem)) throw error;
    return printUsageError(error.message, path, command);
  }
}

function printUsageError(
  problem: string,
  path: readonly CommandEntry[],
  command: Command | undefined,
): number {
  printErrorLine(`Error: ${problem}`);
  print(usageText(path, command));
  printErrorLine("");
  return ExitCode.error;
}

/** `help <command>`; help about something unknown is the help of the program. */
async function printHelp(root: CommandEntry, words: readonly string[]): Promise<number> {
  const { path, args } = findCommand(root, words);
  const isUnknown = path.length === 1 && args.length > 0;
  if (isUnknown) printErrorLine(`Unknown help topic [${args.map((arg) => `\`${arg}\``).join(" ")}]`);
  print(usageText(path, (await path.at(-1)!.load?.())?.command));
  return ExitCode.success;
}
