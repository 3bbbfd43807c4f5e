import fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import {
  FIRST_RANGE_BYTES,
  leftOf,
  nextRangeBytes,
  nextToFree,
  wipedOf,
} from '../../../node-agent/freeing/plan.ts';
import type { Backing } from '../../../node-agent/roles/pool.ts';

const test = suite('what is freed next');

const backing = (id: string, more: Partial<Backing> = {}): Backing => ({
  id,
  state: 'dying',
  sizeBytes: 1n,
  path: '/p',
  ...more,
});
const next = (backings: readonly Backing[], last?: string, canTry: (id: string) => boolean = () => true) =>
  nextToFree(backings, { last, canTry })?.id;

test('only what is dying and ours, each in its turn', () => {
  const all = [
    backing('vol3'),
    backing('vol1'),
    backing('vol2', { state: 'complete' }),
    backing('vol4', { state: 'retained' }),
    backing('vol5', { foreign: true }),
  ];
  assert.is(next(all), 'vol1');
  assert.is(next(all, 'vol1'), 'vol3');
  assert.is(next(all, 'vol3'), 'vol1');
  assert.is(
    next(all, undefined, (id) => id !== 'vol1'),
    'vol3',
  );
  assert.is(next([]), undefined);
});

test('what shares the blocks of a volume is freed before it, and the volume waits even if that cannot be', () => {
  const all = [backing('vol1'), backing('snap1', { sourceID: 'vol1' })];
  assert.is(next(all), 'snap1');
  assert.is(next(all, 'snap1'), 'snap1');
  assert.is(
    next(all, undefined, (id) => id !== 'snap1'),
    undefined,
  );
});

test('what was wiped of another size says nothing', () => {
  const memory = { id: 'vol1', pool: 'main', sizeBytes: '10', wipedBytes: '4' };
  assert.is(wipedOf(memory, { sizeBytes: 10n }), 4n);
  assert.is(wipedOf(memory, { sizeBytes: 11n }), 0n);
  assert.is(wipedOf(undefined, { sizeBytes: 10n }), 0n);
});

test('a piece takes about a second, is never smaller than the first and never without bounds', () => {
  assert.is(nextRangeBytes(FIRST_RANGE_BYTES, 10), FIRST_RANGE_BYTES * 2n);
  assert.is(nextRangeBytes(FIRST_RANGE_BYTES * 2n, 1_000), FIRST_RANGE_BYTES * 2n);
  assert.is(nextRangeBytes(FIRST_RANGE_BYTES * 2n, 9_000), FIRST_RANGE_BYTES);
  assert.is(nextRangeBytes(FIRST_RANGE_BYTES, 90_000), FIRST_RANGE_BYTES);
  let bytes = FIRST_RANGE_BYTES;
  for (let step = 0; step < 64; step += 1) {
    bytes = nextRangeBytes(bytes, 0);
  }
  assert.is(bytes, 8n * 1024n ** 3n);
});

test('what is left falls from all to nothing, and is nothing only in the end', () => {
  fc.assert(
    fc.property(fc.bigInt(0n, 2n ** 62n), fc.bigInt(0n, 2n ** 62n), fc.boolean(), (wiped, more, isLess) => {
      const sizeBytes = wiped + (isLess ? more : 0n) + (wiped === 0n ? 1n : 0n);
      const left = leftOf(sizeBytes, wiped);
      return left >= sizeBytes - wiped && left <= sizeBytes && (left === 0n) === (wiped === sizeBytes);
    }),
  );
});

test.run();
