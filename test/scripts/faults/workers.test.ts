import { availableParallelism } from 'node:os';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Task } from '../../../scripts/faults/worker.ts';
import { inWorkers } from '../../../scripts/faults/workers.ts';
import { kitOf } from '../../sim/kit.ts';

const test = suite('faults: tasks in threads');

const history = (seed: number): Task => ({ kind: 'histories', kit: kitOf({}), first: seed, last: seed });

test('a thread does one task after the other, until there is none', async () => {
  const tasks = Array.from({ length: 2 * availableParallelism() + 1 }, (_, index) => history(index + 1));
  const done: Task[] = [];
  await inWorkers(tasks, (task, tried, seconds) => {
    assert.equal(tried, { passed: 1, failures: [] });
    assert.ok(seconds > 0);
    done.push(task);
  });
  assert.is(done.length, tasks.length);
  assert.equal(new Set(done), new Set(tasks));
});

test('what a thread throws is thrown', async () => {
  const task: Task = { kind: 'points', points: { workflow: 'none', kind: 'crash', oneOf: 1 } };
  const error = await inWorkers([task], () => assert.unreachable()).catch((caught: unknown) => caught);
  assert.match(String(error), 'no workflow none');
});

test.run();
