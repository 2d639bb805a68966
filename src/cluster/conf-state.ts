/** The JSON of raftpb.ConfState as etcd keeps it in `meta/confState`: ids are bare 64-bit numbers, empty lists are left out. */

/** Who votes; the same shape as raft's own. */
export interface ConfStateIds {
  readonly voters: readonly bigint[];
  readonly learners: readonly bigint[];
  readonly votersOutgoing: readonly bigint[];
  readonly learnersNext: readonly bigint[];
  readonly autoLeave: boolean;
}

const LISTS = [
  ["voters", "voters"],
  ["learners", "learners"],
  ["votersOutgoing", "voters_outgoing"],
  ["learnersNext", "learners_next"],
] as const;

/** The configuration of a group in which these members vote and those learn; ids ascending, as raft gives them. */
export function simpleConfState(voters: readonly bigint[], learners: readonly bigint[]): ConfStateIds {
  return { voters, learners, votersOutgoing: [], learnersNext: [], autoLeave: false };
}

export function formatConfState(state: ConfStateIds): string {
  const lists = LISTS.filter(([field]) => state[field].length > 0).map(
    ([field, key]) => `"${key}":[${state[field].join(",")}]`,
  );
  return `{${[...lists, `"auto_leave":${state.autoLeave}`].join(",")}}`;
}

/** Reads {@link formatConfState}'s JSON, ids exact. Throws SyntaxError on bad JSON. */
export function parseConfState(json: Uint8Array): ConfStateIds {
  // JSON.parse would round the ids: quote them first.
  const text = new TextDecoder().decode(json).replace(/\d+/g, '"$&"');
  const raw = JSON.parse(text) as Readonly<Record<string, readonly string[] | boolean | undefined>>;
  const ids = (key: string): bigint[] => ((raw[key] ?? []) as readonly string[]).map(BigInt);
  return {
    voters: ids("voters"),
    learners: ids("learners"),
    votersOutgoing: ids("voters_outgoing"),
    learnersNext: ids("learners_next"),
    autoLeave: raw.auto_leave === true,
  };
}
