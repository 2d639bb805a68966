/** raftpb.ConfChangeType: what {@link ConfChangeSingle.type} can be. */
export const ConfChangeType = {
  addNode: 0,
  removeNode: 1,
  updateNode: 2,
  addLearnerNode: 3,
} as const;

/** raftpb.ConfChangeTransition: how a change with several parts goes through a joint configuration. */
export const ConfChangeTransition = {
  /** Simple if the protocol allows, else joint and left automatically. */
  auto: 0,
  /** Joint, left automatically. */
  jointImplicit: 1,
  /** Joint until a further, empty change leaves it. */
  jointExplicit: 2,
} as const;
