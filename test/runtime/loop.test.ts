import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { ApiError, TerminalError } from '../../runtime/errors.ts';
import { type Reconcile, runLoop, type VisitOutcome } from '../../runtime/loop.ts';
import { WorkQueue } from '../../runtime/workqueue.ts';
import { FakeClock, settle } from '../fakes/clock.ts';
import { recordingLog } from '../fakes/log.ts';

const test = suite('loop');

function aLoop(reconcile: Reconcile, { concurrency = 2 } = {}) {
  const clock = new FakeClock();
  const queue = new WorkQueue({ clock, random: () => 0.5 });
  const stop = new AbortController();
  const { log, lines } = recordingLog();
  const outcomes: VisitOutcome[] = [];
  const metrics = { visited: (_: string, outcome: VisitOutcome) => outcomes.push(outcome) };
  const settings = { name: 'test', concurrency, deadlineMs: 10_000, graceMs: 5_000 };
  const ended = runLoop({ ...settings, queue, reconcile, log, clock, metrics, signal: stop.signal });
  let over = false;
  void ended.then(() => {
    over = true;
  });
  const errors = () => lines.filter(({ level }) => level === 'error');
  return { clock, queue, stop, ended, outcomes, errors, isOver: () => over };
}

const conflict = () => new ApiError('lost', { status: 409, reason: 'Conflict' });

test('a good visit is visited again when it says so', async () => {
  let visits = 0;
  const { clock, queue, outcomes } = aLoop(async () => {
    visits += 1;
    return { requeueAfterMs: 1_000 };
  });
  queue.add('a');
  await clock.advance(2_500);
  assert.is(visits, 3);
  assert.equal(outcomes, ['success', 'success', 'success']);
});

test('an error is logged once, with its stack, and tried again ever more slowly', async () => {
  const at: number[] = [];
  const { clock, queue, errors } = aLoop(async () => {
    at.push(clock.monotonicMs());
    throw new Error('no space');
  });
  queue.add('a');
  await clock.advance(1_500);
  assert.equal(at, [0, 200, 600, 1_400]);
  assert.is(errors().length, 4);
  const { err } = errors()[0]?.fields ?? {};
  assert.ok(err instanceof Error && err.stack?.includes('no space'));
});

test('a lost race is silent and looked at again soon', async () => {
  let visits = 0;
  const { clock, queue, errors, outcomes } = aLoop(async () => {
    visits += 1;
    if (visits < 12) {
      throw conflict();
    }
    return {};
  });
  queue.add('a');
  await clock.advance(60_000);
  assert.is(visits, 12);
  assert.is(errors().length, 0);
  assert.is(outcomes.at(-1), 'success');
});

test('a terminal error is logged and not tried again', async () => {
  let visits = 0;
  const { clock, queue, errors } = aLoop(async () => {
    visits += 1;
    throw new TerminalError('ShrinkRefused', 'a volume cannot shrink');
  });
  queue.add('a');
  await clock.advance(3_600_000);
  assert.is(visits, 1);
  assert.is(errors().length, 1);
  assert.is(queue.failing, 0);
});

test('one failing key does not hold up the others', async () => {
  const visited: string[] = [];
  const { clock, queue } = aLoop(async (key) => {
    visited.push(key);
    if (key === 'bad') {
      throw new Error('bad');
    }
    return {};
  });
  queue.add('bad');
  queue.add('good');
  await clock.advance(100);
  assert.equal(visited, ['bad', 'good']);
});

test('never more visits at a time than allowed, and all get their turn', async () => {
  let running = 0;
  let most = 0;
  let visits = 0;
  const { clock, queue } = aLoop(
    async () => {
      running += 1;
      most = Math.max(most, running);
      await clock.sleep(100);
      running -= 1;
      visits += 1;
      return {};
    },
    { concurrency: 3 },
  );
  for (let key = 0; key < 10; key++) {
    queue.add(`key-${key}`);
  }
  await clock.advance(1_000);
  assert.is(most, 3);
  assert.is(visits, 10);
});

test('the signal of a visit fires at its deadline', async () => {
  const { clock, queue, outcomes } = aLoop((_, { signal }) =>
    clock.sleep(3_600_000, signal).then(() => ({})),
  );
  queue.add('a');
  await clock.advance(10_000);
  assert.equal(outcomes, ['error']);
});

test('visits that ignore their deadline give their places away, but their keys stay busy', async () => {
  const visited: string[] = [];
  let release: () => void = () => {};
  const hanging = new Promise<void>((resolve) => {
    release = resolve;
  });
  const { clock, queue, outcomes } = aLoop(
    async (key) => {
      visited.push(key);
      await (key === 'hung' ? hanging : undefined);
      return {};
    },
    { concurrency: 1 },
  );
  queue.add('hung');
  queue.add('good');
  await clock.advance(14_999);
  assert.equal(visited, ['hung']);
  await clock.advance(1);
  assert.equal(visited, ['hung', 'good']);
  queue.add('hung');
  await clock.advance(60_000);
  assert.equal(visited, ['hung', 'good']);
  release();
  await settle();
  assert.equal(visited, ['hung', 'good', 'hung']);
  assert.equal(outcomes, ['hung', 'success', 'success', 'success']);
});

test('a hung visit does not let one visit too many in when it comes back', async () => {
  let running = 0;
  let most = 0;
  let release: () => void = () => {};
  const hanging = new Promise<void>((resolve) => {
    release = resolve;
  });
  const { clock, queue } = aLoop(
    async (key) => {
      if (key === 'hung') {
        await hanging;
        return {};
      }
      running += 1;
      most = Math.max(most, running);
      await clock.sleep(1_000);
      running -= 1;
      return {};
    },
    { concurrency: 1 },
  );
  queue.add('hung');
  await clock.advance(15_000);
  for (let key = 0; key < 5; key++) {
    queue.add(`key-${key}`);
  }
  await clock.advance(500);
  release();
  await clock.advance(10_000);
  assert.is(most, 1);
});

test('a stop takes no more keys and waits for the visits under way', async () => {
  const visited: string[] = [];
  const { clock, queue, stop, ended, isOver } = aLoop(
    async (key) => {
      visited.push(key);
      await clock.sleep(3_000);
      return {};
    },
    { concurrency: 1 },
  );
  queue.add('a');
  queue.add('b');
  await settle();
  stop.abort();
  await clock.advance(2_999);
  assert.not.ok(isOver());
  await clock.advance(1);
  await ended;
  assert.equal(visited, ['a']);
});

test('a stop aborts visits that outlast the grace, quietly, and leaves without those that ignore it', async () => {
  const { clock, queue, stop, isOver, outcomes, errors } = aLoop(async (key, { signal }) => {
    await (key === 'deaf' ? new Promise(() => {}) : clock.sleep(9_000, signal));
    return {};
  });
  queue.add('slow');
  queue.add('deaf');
  await settle();
  stop.abort();
  await clock.advance(5_000);
  assert.equal(outcomes, ['stopped']);
  assert.not.ok(isOver());
  await clock.advance(2_000);
  assert.ok(isOver());
  assert.is(errors().length, 0);
});

test('an idle loop leaves no timer behind', async () => {
  const { clock, queue, stop, ended } = aLoop(async () => ({}));
  queue.add('a');
  await clock.advance(10);
  stop.abort();
  await ended;
  assert.is(clock.pending, 0);
});

test.run();
