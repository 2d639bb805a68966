/** Tables in ASCII as etcd's tools print them: centred upper-case headings, cells to the right, long cells wrapped. */

/** A cell with spaces is wrapped at about this many columns. */
const CELL_WIDTH_MAX = 30;

/** Draws a table; ends with a newline. */
export function textTable(headings: readonly string[], rows: readonly (readonly string[])[]): string {
  const head = headings.map((text) => text.replaceAll("_", " ").toUpperCase());
  const widths = head.map((_, column) => Math.max(...[head, ...rows].map((row) => cellWidth(row[column]))));
  const rule = `+${widths.map((width) => "-".repeat(width + 2)).join("+")}+\n`;
  const drawn = rows.map((row) => drawRow(row.map(wrapCell), widths, (text, width) => text.padStart(width)));
  return (
    rule + drawRow(head.map(wrapCell), widths, centre) + rule + drawn.join("") + (rows.length > 0 ? rule : "")
  );
}

function drawRow(
  cells: string[][],
  widths: number[],
  align: (text: string, width: number) => string,
): string {
  const height = Math.max(...cells.map((lines) => lines.length));
  let drawn = "";
  for (let line = 0; line < height; line++) {
    drawn += `|${cells.map((lines, column) => ` ${align(lines[line] ?? "", widths[column])} `).join("|")}|\n`;
  }
  return drawn;
}

function centre(text: string, width: number): string {
  const left = Math.floor((width - text.length) / 2);
  return " ".repeat(left) + text + " ".repeat(width - text.length - left);
}

/** A wrapped cell keeps the full width, even if its lines came out shorter. */
function cellWidth(text: string): number {
  return Math.max(wrapLimit(text), ...wrapCell(text).map((line) => line.length));
}

function wrapLimit(text: string): number {
  return Math.min(CELL_WIDTH_MAX, Math.max(...text.split("\n").map((line) => line.length)));
}

function wrapCell(text: string): string[] {
  return wrapWords(text.replaceAll("\n", " ").split(" "), wrapLimit(text));
}

/** Breaks words into lines so that the squares of the room left on each line but the last add up to the least. */
function wrapWords(words: string[], width: number): string[] {
  const limit = Math.max(width, ...words.map((word) => word.length));
  const count = words.length;
  const cost = Array<number>(count + 1).fill(Infinity);
  const end = Array<number>(count + 1).fill(count);
  cost[count] = 0;
  for (let first = count - 1; first >= 0; first--) {
    if (words.slice(first).join(" ").length <= limit) {
      cost[first] = 0;
      continue;
    }
    let length = -1;
    for (let next = first + 1; next < count; next++) {
      length += words[next - 1].length + 1;
      if (length > limit) break;
      const total = (limit - length) ** 2 + cost[next];
      if (total < cost[first]) {
        cost[first] = total;
        end[first] = next;
      }
    }
  }
  const lines: string[] = [];
  for (let first = 0; first < count; first = end[first]!)
    lines.push(words.slice(first, end[first]).join(" "));
  return lines;
}
