/**
 * Draws one trace that Jaeger holds: a bar a span, indented by what it is part of, coloured by member.
 *
 *     node scripts/trace-picture.ts http://localhost:16686 <trace id> > trace.svg
 */

/** What Jaeger's query API answers, as far as it is used here. Times are microseconds. */
interface JaegerTrace {
  readonly spans: readonly JaegerSpan[];
  readonly processes: Readonly<Record<string, { readonly tags: readonly JaegerTag[] }>>;
}

interface JaegerSpan {
  readonly spanID: string;
  readonly operationName: string;
  readonly processID: string;
  readonly startTime: number;
  readonly duration: number;
  readonly references: readonly { readonly refType: string; readonly spanID: string }[];
  readonly tags: readonly JaegerTag[];
}

interface JaegerTag {
  readonly key: string;
  readonly value: string | number | boolean;
}

interface Row {
  readonly span: JaegerSpan;
  readonly depth: number;
  readonly member: string;
  readonly thread: string;
}

const ROW = 18;
const LEFT = 330;
const WIDTH = 1100;
const TOP = 46;
const COLOURS = ["#2b7de9", "#d9822b", "#3aa657", "#8e5bd0", "#c94f6d"];

const [jaeger, traceId] = process.argv.slice(2);
if (jaeger === undefined || traceId === undefined) {
  console.error("usage: node scripts/trace-picture.ts <Jaeger's URL> <trace id>");
  process.exit(2);
}
process.stdout.write(draw(await fetchTrace(jaeger, traceId)));

async function fetchTrace(url: string, id: string): Promise<JaegerTrace> {
  const response = await fetch(new URL(`/api/traces/${id}`, url));
  const { data } = (await response.json()) as { data: readonly JaegerTrace[] | null };
  const trace = data?.[0];
  if (trace === undefined) throw new Error(`Jaeger has no trace ${id} (status ${response.status})`);
  return trace;
}

function parentOf({ references }: JaegerSpan): string {
  return references.find(({ refType }) => refType === "CHILD_OF")?.spanID ?? "";
}

function tagOf(tags: readonly JaegerTag[], key: string): string {
  return String(tags.find((tag) => tag.key === key)?.value ?? "");
}

/** Depth first, siblings by start. The first spans are those whose parent is not in the trace. */
function rowsOf({ spans, processes }: JaegerTrace): Row[] {
  const known = new Set(spans.map(({ spanID }) => spanID));
  const rows: Row[] = [];
  const visit = (parts: readonly JaegerSpan[], depth: number): void => {
    for (const span of parts.toSorted((a, b) => a.startTime - b.startTime)) {
      const { tags } = processes[span.processID] ?? { tags: [] };
      const member = tagOf(tags, "service.instance.id") || tagOf(tags, "concord.member.id");
      rows.push({ span, depth, member, thread: tagOf(span.tags, "thread.name") });
      visit(
        spans.filter((other) => parentOf(other) === span.spanID),
        depth + 1,
      );
    }
  };
  visit(
    spans.filter((span) => !known.has(parentOf(span))),
    0,
  );
  return rows;
}

function draw(trace: JaegerTrace): string {
  const rows = rowsOf(trace);
  const startUs = Math.min(...rows.map(({ span }) => span.startTime));
  const endUs = Math.max(...rows.map(({ span }) => span.startTime + span.duration));
  const members = [...new Set(rows.map(({ member }) => member))].toSorted();
  const scale = WIDTH / Math.max(1, endUs - startUs);
  const height = TOP + rows.length * ROW + 12;
  const lines = [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${LEFT + WIDTH + 90}" height="${height}" font-family="sans-serif" font-size="11">`,
    `<rect width="100%" height="100%" fill="#ffffff"/>`,
    ...members.map(
      (member, i) =>
        `<rect x="${12 + i * 110}" y="10" width="10" height="10" fill="${colourOf(i)}"/><text x="${26 + i * 110}" y="19">member ${escapeText(member)}</text>`,
    ),
  ];
  for (let i = 0; i <= 5; i++) {
    const x = LEFT + (WIDTH * i) / 5;
    const label = `${(((endUs - startUs) * i) / 5 / 1000).toFixed(1)} ms`;
    lines.push(
      `<line x1="${x}" y1="${TOP - 8}" x2="${x}" y2="${height - 8}" stroke="#dddddd"/><text x="${x + 3}" y="${TOP - 12}" fill="#666666">${label}</text>`,
    );
  }
  rows.forEach(({ span, depth, member, thread }, i) => {
    const y = TOP + i * ROW;
    const x = LEFT + (span.startTime - startUs) * scale;
    const width = Math.max(1.5, span.duration * scale);
    const took = span.duration < 1000 ? `${span.duration} µs` : `${(span.duration / 1000).toFixed(1)} ms`;
    lines.push(
      `<text x="${12 + depth * 14}" y="${y + 12}">${escapeText(span.operationName)}<tspan dx="6" fill="#888888">${escapeText(thread)}</tspan></text>`,
      `<rect x="${x.toFixed(1)}" y="${y + 2}" width="${width.toFixed(1)}" height="${ROW - 5}" rx="2" fill="${colourOf(members.indexOf(member))}"/>`,
      `<text x="${(x + width + 4).toFixed(1)}" y="${y + 12}" fill="#666666">${took}</text>`,
    );
  });
  return `${[...lines, "</svg>"].join("\n")}\n`;
}

function colourOf(i: number): string {
  return COLOURS[i % COLOURS.length];
}

function escapeText(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}
