// All that is tried against the promises: points of workflows, and histories. The same for a few of them and for thousands.
import { crashRun, KINDS, type Kind, referenceRun } from './crash.ts';
import { historyOf, play, shrink } from './history.ts';
import { type Kit, kitOf, optionsOf } from './kit.ts';
import { WORKFLOWS } from './workflows.ts';

export interface Tried {
  readonly passed: number;
  /** One text for each failure: what went wrong, how to see it again, and the story. */
  readonly failures: readonly string[];
}

export interface PointsOptions {
  readonly workflow: string;
  readonly kind: Kind;
  /** 1: all points; n: one of n. */
  readonly oneOf: number;
  readonly seed?: number;
}

export const POINTS: readonly (Omit<PointsOptions, 'oneOf'> & { readonly kit: Kit })[] = WORKFLOWS.flatMap(
  ({ name: workflow, kit }) => KINDS.map((kind) => ({ workflow, kind, kit: kitOf(kit) })),
);

/** Throws for a workflow that there is not, and for one that fails without a blow. */
export const tryPoints = async ({ workflow: name, kind, oneOf, seed = 1 }: PointsOptions): Promise<Tried> => {
  const workflow = WORKFLOWS.find((one) => one.name === name);
  if (workflow === undefined) {
    throw new Error(`no workflow ${name}`);
  }
  const { ends, points } = await referenceRun(workflow, kind, seed);
  const chosen = points.filter((_, index) => index % oneOf === 0);
  const failures: string[] = [];
  for (const point of chosen) {
    const wrong = await crashRun(workflow, seed, { ends, point });
    if (wrong !== undefined) {
      failures.push(`${name}: ${wrong}`);
    }
  }
  return { passed: chosen.length - failures.length, failures };
};

const LAST_LINES = 120;

/** The history of that seed; a failure with what of it is needed, and the story of that. */
export const tryHistory = async (seed: number, part: Partial<Kit> = {}): Promise<Tried> => {
  const kit = kitOf(part);
  const happenings = historyOf(seed, kit);
  const told = await play(seed, happenings, { kit });
  if (told === undefined) {
    return { passed: 1, failures: [] };
  }
  const fewer = await shrink(seed, happenings, { kit });
  const { wrong, story } = (await play(seed, fewer, { kit })) ?? told;
  const needed = fewer.map(({ atMs, what }) => `  after ${(atMs / 1_000).toFixed(1)} s: ${what}`);
  const lines = story.slice(-LAST_LINES).map((line) => `  ${line.slice(0, 220)}`);
  const again = `npm run test:faults -- --history ${seed}${optionsOf(kit)}`;
  return {
    passed: 0,
    failures: [[`history ${seed}: ${wrong}`, `  again: ${again}`, ...needed, '  …', ...lines].join('\n')],
  };
};
