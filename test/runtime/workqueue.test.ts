import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { WorkQueue } from '../../runtime/workqueue.ts';
import { FakeClock, settle } from '../fakes/clock.ts';

const test = suite('workqueue');

function aQueue(options: { firstRetryMs?: number; longestRetryMs?: number } = {}) {
  const clock = new FakeClock();
  const queue = new WorkQueue({ clock, random: () => 0.5, ...options });
  const never = new AbortController();
  const take = () => queue.take(never.signal);
  return { clock, queue, take, never };
}

/** Visits whatever is ready now, without waiting. */
async function visitReady(queue: WorkQueue): Promise<string[]> {
  const visited: string[] = [];
  while (queue.length > 0) {
    const key = await queue.take(new AbortController().signal);
    assert.ok(key);
    visited.push(key);
    queue.done(key);
  }
  return visited;
}

test('asking twice before the visit is one visit', async () => {
  const { queue } = aQueue();
  queue.add('a');
  queue.add('b');
  queue.add('a');
  assert.equal(await visitReady(queue), ['a', 'b']);
});

test('asking many times during a visit is one more visit', async () => {
  const { queue, take } = aQueue();
  queue.add('a');
  assert.is(await take(), 'a');
  for (let times = 0; times < 100; times++) {
    queue.add('a');
  }
  assert.is(queue.length, 0);
  queue.done('a');
  assert.equal(await visitReady(queue), ['a']);
});

test('a key is never visited twice at a time', async () => {
  const { queue, take, never } = aQueue();
  queue.add('a');
  assert.is(await take(), 'a');
  queue.add('a');
  const second = take();
  let given = false;
  void second.then(() => {
    given = true;
  });
  await settle();
  assert.not.ok(given);
  queue.done('a');
  assert.is(await second, 'a');
  never.abort();
});

test('21001 asks for eleven keys are eleven visits while nobody looks, sixteen at most while one does', async () => {
  const { queue, take } = aQueue();
  for (let ask = 0; ask < 10_500; ask++) {
    queue.add(`key-${ask % 11}`);
  }
  const held = await take();
  for (let ask = 0; ask < 10_501; ask++) {
    queue.add(`key-${ask % 11}`);
  }
  const others = await visitReady(queue);
  queue.done(held ?? '');
  const again = await visitReady(queue);
  assert.is(others.length, 10);
  assert.equal(again, [held]);
});

test('waiting takers are served in order', async () => {
  const { queue, take } = aQueue();
  const first = take();
  const second = take();
  queue.add('a');
  queue.add('b');
  assert.equal(await Promise.all([first, second]), ['a', 'b']);
});

test('of several delays the earliest wins, and it is one visit', async () => {
  const { clock, queue } = aQueue();
  queue.addAfter('a', 500);
  queue.addAfter('a', 100);
  queue.addAfter('a', 300);
  await clock.advance(99);
  assert.is(queue.length, 0);
  await clock.advance(1);
  assert.equal(await visitReady(queue), ['a']);
  await clock.advance(1_000);
  assert.is(queue.length, 0);
});

test('a delayed request stands although the key was visited earlier', async () => {
  const { clock, queue } = aQueue();
  queue.addAfter('a', 100);
  queue.add('a');
  assert.equal(await visitReady(queue), ['a']);
  await clock.advance(100);
  assert.equal(await visitReady(queue), ['a']);
});

test('retries double from 200 ms up to five minutes, each key on its own', async () => {
  const { clock, queue } = aQueue();
  const delays: number[] = [];
  for (let failure = 0; failure < 14; failure++) {
    const start = clock.monotonicMs();
    queue.retry('a');
    while (queue.length === 0) {
      await clock.advance(clock.monotonicMs() < start + 60_000 ? 100 : 10_000);
    }
    delays.push(clock.monotonicMs() - start);
    await visitReady(queue);
  }
  assert.equal(delays.slice(0, 5), [200, 400, 800, 1_600, 3_200]);
  assert.is(delays.at(-1), 300_000);
  queue.retry('b');
  await clock.advance(200);
  assert.equal(await visitReady(queue), ['b']);
});

test('a retry can be capped by the caller', async () => {
  const { clock, queue } = aQueue();
  for (let failure = 0; failure < 20; failure++) {
    queue.retry('a', 5_000);
    await clock.advance(5_000);
    assert.equal(await visitReady(queue), ['a']);
  }
});

test('a forgotten key starts anew and is not remembered', async () => {
  const { clock, queue } = aQueue();
  for (let failure = 0; failure < 8; failure++) {
    queue.retry('a');
    await clock.advance(300_000);
    await visitReady(queue);
  }
  assert.is(queue.failing, 1);
  queue.forget('a');
  assert.is(queue.failing, 0);
  queue.retry('a');
  await clock.advance(200);
  assert.equal(await visitReady(queue), ['a']);
});

test('a taker whose signal fires gets nothing and leaves no trace', async () => {
  const { queue, take } = aQueue();
  const impatient = new AbortController();
  const taken = queue.take(impatient.signal);
  impatient.abort();
  assert.is(await taken, undefined);
  queue.add('a');
  assert.is(await take(), 'a');
});

test('a shut down queue gives nothing, takes nothing and has no timers', async () => {
  const { clock, queue, take } = aQueue();
  const waiting = take();
  queue.addAfter('late', 100);
  queue.shutdown();
  queue.add('a');
  queue.addAfter('b', 1);
  assert.is(await waiting, undefined);
  assert.is(await take(), undefined);
  assert.is(clock.pending, 0);
  assert.is(queue.length, 0);
});

test('the taker is told how long a key had waited', async () => {
  const clock = new FakeClock();
  const waits: number[] = [];
  const queue = new WorkQueue({ clock, onTake: (waitedMs) => waits.push(waitedMs) });
  queue.add('a');
  await clock.advance(70);
  await visitReady(queue);
  assert.equal(waits, [70]);
});

test.run();
