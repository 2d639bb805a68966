/** Equal lines shown around a difference. */
const CONTEXT_LINES = 5;

/** What differs, line by line: `-` only expected, `+` only found. Long equal stretches are left out. */
export function diffLines(expected: string, found: string): string {
  const lines = pairLines(split(expected), split(found));
  const isNear = lines.map((_, at) =>
    lines
      .slice(Math.max(at - CONTEXT_LINES, 0), at + CONTEXT_LINES + 1)
      .some((line) => !line.startsWith(" ")),
  );
  const shown = lines.map((line, at) => (isNear[at] ? line : at > 0 && isNear[at - 1] ? "  ..." : null));
  return ["  (- expected, + found)", ...shown.filter((line) => line !== null)].join("\n");
}

function split(text: string): string[] {
  return text === "" ? [] : text.replace(/\n$/, "").split("\n");
}

/** By a longest common subsequence: outputs have hundreds of lines at most. */
function pairLines(a: readonly string[], b: readonly string[]): string[] {
  const common = Array.from({ length: a.length + 1 }, () => new Array<number>(b.length + 1).fill(0));
  for (let i = a.length - 1; i >= 0; i--) {
    for (let j = b.length - 1; j >= 0; j--) {
      common[i][j] = a[i] === b[j] ? common[i + 1][j + 1] + 1 : Math.max(common[i + 1][j], common[i][j + 1]);
    }
  }
  const lines: string[] = [];
  let [i, j] = [0, 0];
  while (i < a.length || j < b.length) {
    if (i < a.length && j < b.length && a[i] === b[j]) {
      lines.push(`  ${a[i++]}`);
      j++;
    } else if (j === b.length || (i < a.length && common[i + 1][j] >= common[i][j + 1])) {
      lines.push(`- ${a[i++]}`);
    } else {
      lines.push(`+ ${b[j++]}`);
    }
  }
  return lines;
}
