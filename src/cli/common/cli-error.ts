/** How a command line tool fails: one line on stderr and an exit code. */

/** Exit codes, the same as etcdctl's and etcdutl's. */
export const ExitCode = {
  success: 0,
  error: 1,
  badConnection: 2,
  /** Standard input of txn or watch could not be read as such. */
  invalidInput: 3,
  /** A flag's value, or an output format, that is not supported. */
  badFeature: 4,
  interrupted: 5,
  io: 6,
  badArgs: 128,
} as const;

/** Ends the program with `Error: <message>` on stderr and the exit code. An empty message prints nothing. */
export class CliError extends Error {
  readonly exitCode: number;

  constructor(exitCode: number, message: string) {
    super(message);
    this.name = "CliError";
    this.exitCode = exitCode;
  }
}
