/** Scripts that complete commands and flags in a shell. */
import type { Command, CommandEntry } from "./command.ts";
import type { FlagSpec } from "./flags.ts";
import { goQuote } from "./go-quote.ts";
import { print } from "./terminal.ts";

/** Words that may follow the commands typed so far. */
interface Completion {
  /** Names of the commands, without the program's. */
  readonly path: readonly string[];
  readonly words: readonly string[];
}

type Script = (program: string, completions: readonly Completion[]) => string;

const SCRIPTS: Readonly<Record<string, Script>> = {
  bash: bashScript,
  zsh: (program, completions) =>
    `#compdef ${program}\nautoload -U +X bashcompinit && bashcompinit\n${bashScript(program, completions)}`,
  fish: fishScript,
  powershell: powershellScript,
};

/** The `completion` command of a program. */
export function completionCommand(program: string, loadTable: () => Promise<CommandEntry>): Command {
  const shells = Object.keys(SCRIPTS);
  return {
    usage: `completion [${shells.join("|")}]`,
    description: `
Prints a script that completes commands and flags:

  bash:        source <(${program} completion bash)
               ${program} completion bash > /etc/bash_completion.d/${program}
  zsh:         source <(${program} completion zsh)
  fish:        ${program} completion fish | source
               ${program} completion fish > ~/.config/fish/completions/${program}.fish
  PowerShell:  ${program} completion powershell | Out-String | Invoke-Expression
`,
    checkArgs(args) {
      if (args.length !== 1) return `accepts 1 arg(s), received ${args.length}`;
      return shells.includes(args[0])
        ? undefined
        : `invalid argument ${goQuote(args[0])} for "${program} completion"`;
    },
    async run({ args: [shell] }) {
      print(SCRIPTS[shell](program, await completionsOf(await loadTable(), [], [])));
    },
  };
}

/** Deeper commands first: the longest path that fits is the one that counts. */
async function completionsOf(
  entry: CommandEntry,
  path: readonly string[],
  flags: readonly FlagSpec[],
): Promise<Completion[]> {
  const inherited = [...flags, ...(entry.inheritedFlags ?? [])];
  const below = await Promise.all(
    (entry.commands ?? []).map((each) => completionsOf(each, [...path, each.name], inherited)),
  );
  const own = (await entry.load?.())?.command.flags ?? [];
  const names = (entry.commands ?? []).map((each) => each.name);
  const options = [...own, ...inherited].map((flag) => `--${flag.name}`);
  return [...below.flat(), { path, words: [...names, ...options] }];
}

function bashScript(program: string, completions: readonly Completion[]): string {
  const cases = completions.map(({ path, words }) => {
    const pattern = path.length === 0 ? "*" : `" ${path.join(" ")}"*`;
    return `    ${pattern}) words="${words.join(" ")}" ;;`;
  });
  return `# bash completion for ${program}
_${program}() {
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
complete -o default -F _${program} ${program}
`;
}

function fishScript(program: string, completions: readonly Completion[]): string {
  const cases = completions.map(({ path, words }) => {
    const pattern = path.length === 0 ? "'*'" : `' ${path.join(" ")}*'`;
    return `    case ${pattern}\n      printf '%s\\n' ${words.join(" ")}`;
  });
  return `# fish completion for ${program}
function __${program}_words
  set -l path
  for each in (commandline -opc)[2..-1]
    string match -q -- '-*' $each; or set path "$path $each"
  end
  switch "$path"
${cases.join("\n")}
  end
end
complete -c ${program} -a '(__${program}_words)'
`;
}

function powershellScript(program: string, completions: readonly Completion[]): string {
  const cases = completions.map(({ path, words }) => {
    const list = words.map((word) => `'${word}'`).join(", ");
    const pattern = path.length === 0 ? "*" : ` ${path.join(" ")}*`;
    return `    '${pattern}' { ${list}; break }`;
  });
  return `# PowerShell completion for ${program}
Register-ArgumentCompleter -Native -CommandName '${program}' -ScriptBlock {
  param($word, $ast, $position)
  $path = ''
  foreach ($each in $ast.CommandElements | Select-Object -Skip 1) {
    $text = $each.ToString()
    if (-not $text.StartsWith('-') -and $text -ne $word) { $path = "$path $text" }
  }
  $words = switch -Wildcard ($path) {
${cases.join("\n")}
  }
  $words | Where-Object { $_ -like "$word*" } |
    ForEach-Object { [System.Management.Automation.CompletionResult]::new($_, $_, 'ParameterValue', $_) }
}
`;
}
