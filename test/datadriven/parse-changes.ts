import { ConfChangeType } from "../../src/raft/confchange/conf-change-type.ts";
import type { ConfChangeSingle } from "../../src/raft/raft.ts";

const LETTERS: Readonly<Record<string, number>> = {
  v: ConfChangeType.addNode,
  l: ConfChangeType.addLearnerNode,
  r: ConfChangeType.removeNode,
  u: ConfChangeType.updateNode,
};

/** `v1 l2 r3 u4`: make voter, make learner, remove, update. Returns an error's text for anything else. */
export function parseChanges(text: string): ConfChangeSingle[] | string {
  const changes: ConfChangeSingle[] = [];
  for (const token of text.trim() === "" ? [] : text.trim().split(" ")) {
    if (token.length < 2) return `unknown token ${token}`;
    const type = LETTERS[token[0]];
    if (type === undefined) return `unknown input: ${token}`;
    if (!/^\d+$/.test(token.slice(1)))
      return `strconv.ParseUint: parsing ${JSON.stringify(token.slice(1))}: invalid syntax`;
    changes.push({ type, nodeId: BigInt(token.slice(1)) });
  }
  return changes;
}

/** The inverse of {@link parseChanges}. */
export function formatChanges(changes: readonly ConfChangeSingle[]): string {
  return changes.map(({ type, nodeId }) => `${letterOf(type)}${nodeId}`).join(" ");
}

function letterOf(type: number): string {
  return Object.keys(LETTERS).find((letter) => LETTERS[letter] === type) ?? "unknown";
}
