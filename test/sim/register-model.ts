/** The model of one key: what each operation may answer in a state, and the state it leaves. */

import type { Operation, OperationOutput } from "./linearizability.ts";

/** A key between two operations. */
export interface RegisterState {
  /** null = the key does not exist. */
  readonly value: string | null;
  /** Mod revision of the value; 0 = it does not exist, or nothing has told it yet. */
  readonly modRevision: number;
  /** Highest revision of the store that an operation so far has shown: none that follows may show a lower one. */
  readonly seenRevision: number;
}

export const INITIAL_STATE: RegisterState = { value: null, modRevision: 0, seenRevision: 0 };

/** Equal texts for equal states. */
export function stateKey({ value, modRevision, seenRevision }: RegisterState): string {
  return `${value === null ? "nothing" : JSON.stringify(value)} mod ${modRevision} seen ${seenRevision}`;
}

/** The state behind `operation`, or null if it cannot have given its output in `state`. An unknown output is always possible. */
export function step(state: RegisterState, { op, input, output }: Operation): RegisterState | null {
  switch (op) {
    case "get":
      return output === null ? state : observe(state, output);
    case "put":
      return change(state, input.value as string, output);
    case "delete":
      return stepDelete(state, output);
    case "cas": {
      const holds = state.value === (input.expected ?? null);
      if (output === null) return holds ? change(state, input.value as string, null) : state;
      if (output.succeeded !== holds) return null;
      return holds ? change(state, input.value as string, output) : observe(state, output);
    }
  }
}

function stepDelete(state: RegisterState, output: OperationOutput | null): RegisterState | null {
  const exists = state.value !== null;
  if (output === null) return exists ? change(state, null, null) : state;
  if (output.succeeded !== undefined && output.succeeded !== exists) return null;
  if (output.value !== undefined && output.value !== state.value) return null;
  if (!exists) return observe(state, { ...output, value: null });
  return change(state, null, output);
}

/** An operation that changes nothing and shows `output`. */
function observe(
  state: RegisterState,
  { revision, value, modRevision }: OperationOutput,
): RegisterState | null {
  if (revision !== undefined && revision < state.seenRevision) return null;
  if (value !== undefined && value !== state.value) return null;
  let known = state.modRevision;
  if (modRevision !== undefined && modRevision !== 0 && value !== null) {
    if (known !== 0 && known !== modRevision) return null;
    if (revision !== undefined && modRevision > revision) return null;
    known = modRevision;
  }
  const seenRevision = Math.max(state.seenRevision, revision ?? 0, known);
  return { value: state.value, modRevision: known, seenRevision };
}

function change(
  state: RegisterState,
  value: string | null,
  output: OperationOutput | null,
): RegisterState | null {
  const revision = output?.revision;
  if (revision !== undefined && revision <= state.seenRevision) return null;
  // Whatever its revision is, it is higher than all before.
  const seenRevision = revision ?? state.seenRevision + 1;
  return { value, modRevision: value === null ? 0 : (revision ?? 0), seenRevision };
}
