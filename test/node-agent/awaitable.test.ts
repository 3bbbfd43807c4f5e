import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { awaitable } from '../../node-agent/awaitable.ts';

const test = suite('waiting for a visit');
const visit = {} as never;

test('one that began before does not count, and a failed one neither', async () => {
  const ends: ((error?: Error) => void)[] = [];
  let asked = 0;
  const told = awaitable(() => {
    asked += 1;
  });
  const visitOnce = told.watched(
    () =>
      new Promise((resolve, reject) => {
        ends.push((error) => (error === undefined ? resolve({}) : reject(error)));
      }),
  );
  const { signal } = new AbortController();
  let done = false;
  const first = visitOnce('key', visit);
  const waiting = told.next(signal).then(() => {
    done = true;
  });
  assert.is(asked, 1);
  ends[0]?.();
  await first;
  assert.is(done, false, 'it had begun before');
  const second = visitOnce('key', visit);
  ends[1]?.(new Error('could not'));
  await second.catch(() => undefined);
  assert.is(done, false, 'it failed');
  const third = visitOnce('key', visit);
  ends[2]?.();
  await third;
  await waiting;
  assert.is(done, true);
});

test('who gives up waits no longer', async () => {
  const told = awaitable(() => undefined);
  const abort = new AbortController();
  const waiting = told.next(abort.signal).then(
    () => 'told',
    () => 'gave up',
  );
  abort.abort();
  assert.is(await waiting, 'gave up');
});

test.run();
