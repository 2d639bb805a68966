/** Time as an argument: the workers pass the real one, the simulation a virtual one. */
export interface Clock {
  /** Milliseconds of a clock that never goes back; its zero means nothing. */
  monotonicMs(): number;
  /** Milliseconds since the Unix epoch. */
  unixMs(): number;
}
