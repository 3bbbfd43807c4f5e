// Tasks one after the other in each of a few threads.
import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import type { Tried } from '../../test/sim/campaign.ts';
import type { Task } from './worker.ts';

/** Returns when all are done; each is told of as it ends. Throws what a thread throws. */
export const inWorkers = async (
  tasks: readonly Task[],
  onEnd: (task: Task, tried: Tried, seconds: number) => void,
): Promise<void> => {
  const waiting = [...tasks];
  const work = async (): Promise<void> => {
    const worker = new Worker(new URL('./worker.ts', import.meta.url));
    try {
      for (let task = waiting.shift(); task !== undefined; task = waiting.shift()) {
        const startedAt = performance.now();
        const tried = await asked(worker, task);
        onEnd(task, tried, (performance.now() - startedAt) / 1_000);
      }
    } finally {
      await worker.terminate();
    }
  };
  await Promise.all(Array.from({ length: Math.min(availableParallelism(), tasks.length) }, work));
};

const asked = async (worker: Worker, task: Task): Promise<Tried> => {
  const { promise, resolve, reject } = Promise.withResolvers<Tried>();
  worker.once('message', resolve).once('error', reject).postMessage(task);
  // Its listeners one by one: without any, Worker's own among them, it hears nothing any more.
  return await promise.finally(() => worker.off('message', resolve).off('error', reject));
};
