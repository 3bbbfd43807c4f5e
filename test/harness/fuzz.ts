// Properties tried with other values at each run. What fails is told with its seed: FUZZ_SEED=… node --no-warnings test/….test.ts plays the
// same values again, FUZZ_TIMES=20 tries twenty times as many.
import * as fc from 'fast-check';

const seed = Number(process.env.FUZZ_SEED ?? Date.now() % 2 ** 31);
const times = Number(process.env.FUZZ_TIMES ?? 1);
const LONGEST_VALUES = 6_000;

process.stdout.write(`# FUZZ_SEED=${seed} FUZZ_TIMES=${times}\n`);

export interface Effort {
  readonly runs: number;
  /** Each run is long: the first failure is told as it is, but for a person who has the time (FUZZ_SHRINK=1). */
  readonly dear?: boolean;
}

/** Throws the failure, with the values that made it and the seed. */
export const holds = async <T>(
  property: fc.IAsyncProperty<T> | fc.IProperty<T>,
  { runs, dear = false }: Effort,
): Promise<void> => {
  const endOnFailure = dear && process.env.FUZZ_SHRINK === undefined;
  const parameters = { seed, numRuns: runs * times, endOnFailure };
  const found = await fc.check(property as fc.IAsyncProperty<T>, parameters);
  if (found.failed) {
    const { errorInstance: cause, counterexample, counterexamplePath, numRuns } = found;
    const why = cause instanceof Error ? cause.message : String(cause ?? 'the property is false');
    const values = JSON.stringify(counterexample, (_, value) =>
      typeof value === 'bigint' ? String(value) : value,
    );
    throw new Error(
      `FUZZ_SEED=${seed} (path ${counterexamplePath}, after ${numRuns} runs): ${why}\nwith ${values?.slice(0, LONGEST_VALUES)}`,
      { cause },
    );
  }
};
