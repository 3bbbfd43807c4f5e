import { parentPort } from 'node:worker_threads';
import { type PointsOptions, type Tried, tryHistory, tryPoints } from '../../test/sim/campaign.ts';
import type { Kit } from '../../test/sim/kit.ts';

export type Task =
  | { readonly kind: 'points'; readonly points: PointsOptions }
  | {
      readonly kind: 'histories';
      readonly kit: Kit;
      readonly first: number;
      readonly last: number;
    };

type Histories = Extract<Task, { readonly kind: 'histories' }>;

const histories = async ({ kit, first, last }: Histories): Promise<Tried> => {
  const failures: string[] = [];
  let passed = 0;
  for (let seed = first; seed <= last; seed += 1) {
    const tried = await tryHistory(seed, kit);
    passed += tried.passed;
    failures.push(...tried.failures);
  }
  return { passed, failures };
};

parentPort?.on('message', async (task: Task) => {
  parentPort?.postMessage(task.kind === 'points' ? await tryPoints(task.points) : await histories(task));
});
