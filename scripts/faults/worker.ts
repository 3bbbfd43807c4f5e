import { parentPort } from 'node:worker_threads';
import { type PointsOptions, type Tried, tryHistory, tryPoints } from '../../test/sim/campaign.ts';

export type Task =
  | { readonly kind: 'points'; readonly points: PointsOptions }
  | { readonly kind: 'histories'; readonly first: number; readonly last: number };

const histories = async (first: number, last: number): Promise<Tried> => {
  const failures: string[] = [];
  let passed = 0;
  for (let seed = first; seed <= last; seed += 1) {
    const tried = await tryHistory(seed);
    passed += tried.passed;
    failures.push(...tried.failures);
  }
  return { passed, failures };
};

parentPort?.on('message', async (task: Task) => {
  parentPort?.postMessage(
    task.kind === 'points' ? await tryPoints(task.points) : await histories(task.first, task.last),
  );
});
