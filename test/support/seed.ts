/** What tests leave to chance comes from one seed, which they print. */

/** The one under CI=true, where a change must not fail by what it has not touched. `npm run fuzz` looks further. */
const CI_SEED = 1;
const SEED_END = 2 ** 31;

/** SEED of the environment, which replays a run; without it another one each time. */
export const SEED = readSeed();

function readSeed(): number {
  const text = process.env["SEED"];
  if (text === undefined)
    return process.env["CI"] === "true" ? CI_SEED : Math.floor(Math.random() * SEED_END);
  const seed = Number(text);
  if (!Number.isSafeInteger(seed) || seed < 0) throw new Error(`SEED=${text}: must be a whole number`);
  return seed;
}
