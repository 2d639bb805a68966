/** `etcdctl completion` */
import { CliError, ExitCode } from "../../common/cli-error.ts";
import type { Command, CommandEntry } from "../../common/command.ts";
import type { FlagSpec } from "../../common/flags.ts";
import { goQuote } from "../../common/go-quote.ts";
import { print } from "../../common/terminal.ts";

const SHELLS = ["bash", "zsh"];

export const command: Command = {
  usage: "completion [bash|zsh]",
  description: `
Prints a script that completes commands and flags:

  $ source <(etcdctl completion bash)
  $ etcdctl completion bash > /etc/bash_completion.d/etcdctl
  $ source <(etcdctl completion zsh)
`,
  checkArgs(args) {
    if (args.length !== 1) return `accepts 1 arg(s), received ${args.length}`;
    return SHELLS.includes(args[0])
      ? undefined
      : `invalid argument ${goQuote(args[0])} for "etcdctl completion"`;
  },
  async run({ args }) {
    const { ETCDCTL } = await import("../command-table.ts");
    const shell = args[0];
    if (shell === "zsh") print("autoload -U +X bashcompinit && bashcompinit\n");
    else if (shell !== "bash") throw new CliError(ExitCode.badArgs, `no completion for ${shell}`);
    print(await bashScript(ETCDCTL));
  },
};

/** A function that looks the words typed so far up in a table: what may follow `""`, `endpoint`, `endpoint status` … */
async function bashScript(program: CommandEntry): Promise<string> {
  const cases = await casesOf(program, [], []);
  return `# bash completion for ${program.name}
_${program.name}() {
  local word="\${COMP_WORDS[COMP_CWORD]}" path="" each
  for each in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    case "$each" in -*) ;; *) path="$path $each" ;; esac
  done
  local words
  case "$path" in
${cases.join("\n")}
  esac
  COMPREPLY=($(compgen -W "$words" -- "$word"))
}
complete -o default -F _${program.name} ${program.name}
`;
}

/** Deeper commands first, since the pattern of one matches everything below it. */
async function casesOf(
  entry: CommandEntry,
  above: readonly string[],
  flags: readonly FlagSpec[],
): Promise<string[]> {
  const inherited = [...flags, ...(entry.inheritedFlags ?? [])];
  const below = await Promise.all(
    (entry.commands ?? []).map((each) => casesOf(each, [...above, each.name], inherited)),
  );
  const own = (await entry.load?.())?.command.flags ?? [];
  const names = (entry.commands ?? []).map((each) => each.name);
  const options = [...own, ...inherited].map((flag) => `--${flag.name}`);
  const pattern = above.length === 0 ? "*" : `" ${above.join(" ")}"*`;
  return [...below.flat(), `    ${pattern}) words="${[...names, ...options].join(" ")}" ;;`];
}
