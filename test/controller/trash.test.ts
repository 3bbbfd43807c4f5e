// What people read when the data of a deleted Volume goes into the trash, and when it cannot.
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Volume } from '../../api/volume.ts';
import { forPeople } from '../../controller/trash.ts';
import { place } from '../../controller/volume/placement.ts';
import type { VolumeWorld } from '../../controller/volume/plan.ts';
import { volumeClaims } from '../../controller/volume/status.ts';
import { aClass, aVolume, aWorld, deleted, provisioned, VOLUME_ID } from '../builders/objects.ts';

const test = suite('what is said of the trash');

const trash = { ttlSeconds: 259_200 };
const classes = [aClass('standard', { trash })];
const going = (status: Volume['status'] = provisioned) => aVolume({ metadata: deleted, status });
const ready = (world: Partial<VolumeWorld>) =>
  volumeClaims(aWorld({ classes, ...world })).find(({ type }) => type === 'Ready');

for (const [ttlSeconds, text] of [
  [1, '1 second'],
  [90, '90 seconds'],
  [60, '1 minute'],
  [5_400, '90 minutes'],
  [7_200, '2 hours'],
  [86_400, '1 day'],
  [31_536_000, '365 days'],
] as const) {
  test(`${ttlSeconds} s: ${text}`, () => assert.is(forPeople({ ttlSeconds }), text));
}

test('a person is told how the data comes back, for how long, and where the time stands', () => {
  const claim = ready({ volume: going({ ...provisioned, order: 'Retain', trash }) });
  assert.is(claim?.reason, 'Trashing');
  assert.match(claim?.message ?? '', /had back for 3 days/);
  assert.match(
    claim?.message ?? '',
    new RegExp(`spec\\.source\\.existing: \\{volumeServer: s1, id: ${VOLUME_ID}\\}`),
  );
  assert.match(claim?.message ?? '', /status\.agent\.retained/);
});

test('what is retained without end is told as before', () => {
  assert.is(ready({ volume: going({ ...provisioned, order: 'Retain' }) })?.reason, 'Retaining');
});

test('a pool without trash says so, and what helps; one that says nothing is waited for', () => {
  const claim = ready({ volume: going(), can: ['Readable'] });
  assert.is(claim?.reason, 'Unsupported');
  assert.match(claim?.message ?? '', /take spec\.trash off the class/);
  assert.is(ready({ volume: going(), can: undefined })?.reason, 'Removing');
  assert.is(ready({ volume: going(), classes: [aClass()], can: ['Readable'] })?.reason, 'Removing');
});

test('what the class says is recorded with the placement', () => {
  const placement = (world: Partial<VolumeWorld>) => {
    const placed = place(aWorld(world));
    return placed.kind === 'placed' ? placed.trash : 'waits';
  };
  assert.equal(placement({ classes }), trash);
  assert.is(placement({}), undefined);
});

test.run();
