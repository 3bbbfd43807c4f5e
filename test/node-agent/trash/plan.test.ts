import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Backing } from '../../../node-agent/roles/pool.ts';
import { newTrash, type TrashMemory } from '../../../node-agent/trash/memory.ts';
import {
  countedMs,
  isTrash,
  leftMs,
  noted,
  planTrash,
  type TrashWorld,
} from '../../../node-agent/trash/plan.ts';
import { aSnapshot, aVolume, provisioned, VOLUME_ID } from '../../builders/objects.ts';

const test = suite('plan of the trash');

const record: TrashMemory = {
  volumeID: VOLUME_ID,
  pool: 'main',
  owner: { namespace: 'ns', name: 'db' },
  ttlSeconds: 3_600,
  elapsedSeconds: 1_800,
};
const HALF = 1_800_000;

const cases: [name: string, change: Partial<TrashWorld>, expected: string][] = [
  ['what has time left stays', {}, 'wait'],
  ['until its time is over', { passedMs: HALF }, 'remove'],
  ['not a millisecond before', { passedMs: HALF - 1 }, 'note'],
  ['the time is written down each minute, or each hundredth of it', { passedMs: 60_000 }, 'note'],
  ['and no more often', { passedMs: 59_999 }, 'wait'],
  ['what was not looked at stays', { passedMs: HALF, isThere: undefined }, 'wait'],
  ['what an object has that came back stays', { passedMs: HALF, isAccounted: true }, 'note'],
  ['what a Volume is about to adopt stays', { passedMs: HALF, isWanted: true }, 'note'],
  [
    'what is over is not written down again and again',
    { record: { ...record, elapsedSeconds: 3_600 }, passedMs: HALF, isWanted: true },
    'wait',
  ],
  ['of what is gone nothing is remembered', { isThere: false }, 'forget'],
  ['of what is about to be put aside it is', { isThere: false, isAccounted: true }, 'wait'],
  [
    'time that was not all seen is no time',
    { record: { ...record, elapsedSeconds: 0 }, passedMs: HALF },
    'note',
  ],
];

for (const [name, change, expected] of cases) {
  const world = { record, passedMs: 0, isThere: true, isAccounted: false, isWanted: false };
  test(name, () => assert.is(planTrash({ ...world, ...change }), expected));
}

test('a long time is written down a hundred times', () => {
  const year = { ...record, ttlSeconds: 31_536_000, elapsedSeconds: 0 };
  const plan = (passedMs: number) =>
    planTrash({ record: year, passedMs, isThere: true, isAccounted: false, isWanted: false });
  assert.equal([plan(315_359_999), plan(315_360_000)], ['wait', 'note']);
});

test('what is written down and what is left are the whole', () => {
  const after = noted(record, 61_999);
  assert.is(after.elapsedSeconds, 1_861);
  assert.is(leftMs(after, 999), leftMs(record, 61_999));
  assert.is(noted(record, 10 * HALF).elapsedSeconds, 3_600);
  assert.is(leftMs(record, 10 * HALF), 0);
});

test('what counts is time between two looks: none before the first, none back, and none of a standstill', () => {
  assert.is(countedMs(undefined, 5_000), 0);
  assert.is(countedMs(1_000, 6_000), 5_000);
  assert.is(countedMs(6_000, 1_000), 0);
  assert.is(countedMs(0, 10 ** 9), 300_000);
});

const kept: Backing = {
  id: VOLUME_ID,
  state: 'retained',
  sizeBytes: 1n,
  path: '/p',
  owner: { namespace: 'ns', name: 'db' },
};
const { owner: _, ...unowned } = kept;

for (const [name, found] of Object.entries<Backing>({
  'whole data': { ...kept, state: 'complete' },
  'what is being made': { ...kept, state: 'provisional' },
  'what goes already': { ...kept, state: 'dying' },
  'data of another cluster': { ...kept, foreign: true },
  'what an adoption has begun with': { ...kept, owner: { namespace: 'ns', name: 'heir' } },
  'data of another tenant': { ...kept, owner: { namespace: 'other', name: 'db' } },
  'what nobody is told to own': unowned,
  'another one': { ...kept, id: 'vol00000000000000001' },
})) {
  test(`no trash: ${name}`, () => assert.not(isTrash(record, found)));
}

test('trash is what was put aside as it was recorded, also where its tags tell no owner', () => {
  assert.ok(isTrash(record, kept));
  const { owner: __, ...unknown } = record;
  assert.ok(isTrash(unknown, unowned));
  assert.not(isTrash(unknown, kept));
});

test('only what is ordered into the trash is recorded', () => {
  const ordered = { ...provisioned, order: 'Retain', trash: { ttlSeconds: 3_600 } } as const;
  assert.equal(newTrash(aVolume({ status: ordered }), record.owner), { ...record, elapsedSeconds: 0 });
  assert.is(newTrash(aVolume({ status: { ...provisioned, order: 'Retain' } }), record.owner), undefined);
  assert.is(newTrash(aVolume({ status: { ...ordered, order: 'Keep' } }), record.owner), undefined);
  assert.is(newTrash(aVolume({ status: { ...ordered, order: 'Remove' } }), record.owner), undefined);
  assert.is(
    newTrash(
      aVolume({
        status: { ...provisioned, order: 'Retain', placement: { epoch: 1, trash: { ttlSeconds: 1 } } },
      }),
      record.owner,
    ),
    undefined,
    'what the class said at the placement is no order',
  );
  assert.is(
    newTrash(aSnapshot({ status: { snapshotID: 'snap0123456789abcdef', order: 'Retain' } }), record.owner),
    undefined,
  );
});

test.run();
