import { CONFCHANGE_VOCABULARY } from "./confchange-vocabulary.ts";
import { INTERACTION_VOCABULARY } from "./interaction/interaction-vocabulary.ts";
import { QUORUM_VOCABULARY } from "./quorum-vocabulary.ts";
import type { Vocabulary } from "./vocabulary.ts";

/** Every kind of trace that `npm run datadriven` knows. */
export const VOCABULARIES: readonly Vocabulary[] = [
  QUORUM_VOCABULARY,
  CONFCHANGE_VOCABULARY,
  INTERACTION_VOCABULARY,
];
