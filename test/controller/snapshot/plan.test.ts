import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Pin } from '../../../api/volume.ts';
import { planSnapshot, type SnapshotWorld } from '../../../controller/snapshot/plan.ts';
import { snapshotClaims } from '../../../controller/snapshot/status.ts';
import {
  aGrant,
  aServer,
  aSnapshot,
  aVolume,
  deleted,
  granted,
  provisioned,
  VOLUME_ID,
} from '../../builders/objects.ts';

const test = suite('plan of a Snapshot');

const ID = 'snap0123456789abcdef';
const pin: Pin = { uid: 'uid-snap', kind: 'Snapshot', name: 'snap', still: true };
const pinned = aVolume({ status: { ...provisioned, pins: [pin] } });
const where = { snapshotID: ID, server: 's1', pool: 'main', placement: { epoch: 1 }, order: 'Keep' } as const;
const facts = { placementEpoch: 1, bootID: 'boot-s1' };
const made = { ...where, backend: { ...facts, everProvisioned: true, sizeBytes: '1073741824' } };
const world = (change: Partial<SnapshotWorld>): SnapshotWorld => ({
  snapshot: aSnapshot(),
  volume: pinned,
  snapshotID: ID,
  servers: [aServer()],
  copies: [],
  goneCopies: new Set(),
  lost: false,
  mayPlace: () => true,
  can: ['SnapshotsOutlive'],
  ...change,
});

const summary = (change: Partial<SnapshotWorld>): string => {
  const plan = planSnapshot(world(change));
  return plan.kind === 'write' ? Object.keys(plan.change).join(' ') : plan.kind;
};
const ready = (change: Partial<SnapshotWorld>): string => {
  const claims = snapshotClaims(world(change));
  const found = claims.find(({ type }) => type === 'Ready');
  return `${found?.status} ${found?.reason}`;
};
const going = (status: object, metadata: object = deleted) => aSnapshot({ metadata, status });

const cases: [name: string, change: Partial<SnapshotWorld>, step: string, says: string][] = [
  [
    'the finalizer comes first',
    { snapshot: aSnapshot({ metadata: { finalizers: [] } }) },
    'add-finalizer',
    'False WaitingForVolume',
  ],
  ['without a Volume it waits', { volume: undefined }, 'settled', 'False VolumeNotFound'],
  ['also for one that is not complete', { volume: aVolume() }, 'settled', 'False VolumeNotReady'],
  [
    'and for the pin, which nobody gets on a volume in use',
    { volume: aVolume({ status: granted(aGrant()) }) },
    'settled',
    'False WaitingForDetach',
  ],
  [
    'a Volume whose removal is ordered gives nothing',
    { volume: aVolume({ metadata: deleted, status: { ...provisioned, order: 'Remove' } }) },
    'settled',
    'False VolumeDeleting',
  ],
  [
    'with its pin it is placed',
    {},
    'snapshotID server pool placement source order',
    'False WaitingForVolume',
  ],
  ['then the server makes it', { snapshot: aSnapshot({ status: where }) }, 'settled', 'False Copying'],
  [
    'a problem of the server is told',
    {
      snapshot: aSnapshot({
        status: { ...where, backend: { ...facts, problem: { reason: 'NoSpace', message: 'm' } } },
      }),
    },
    'settled',
    'False NoSpace',
  ],
  ['made is Ready', { snapshot: aSnapshot({ status: made }) }, 'settled', 'True Created'],
  [
    'also without its Volume',
    { snapshot: aSnapshot({ status: made }), volume: undefined },
    'settled',
    'True Created',
  ],
  [
    'not while its server is silent',
    {
      snapshot: aSnapshot({ status: made }),
      servers: [aServer('s1', { freshness: 'stale' })],
    },
    'settled',
    'Unknown HostSilent',
  ],
  ['deleted before it was placed it goes', { snapshot: going({}) }, 'remove-finalizer', 'False Removing'],
  ['deleted, its removal is ordered', { snapshot: going(made) }, 'order', 'False Removing'],
  [
    'not while something is made from it',
    {
      snapshot: going({ ...made, pins: [{ uid: 'uid-clone', kind: 'Volume', name: 'clone' }] }),
      copies: [aVolume({ metadata: { uid: 'uid-clone', name: 'clone' } })],
    },
    'settled',
    'False Pinned',
  ],
  [
    'then the server removes it',
    { snapshot: going({ ...made, order: 'Remove' }) },
    'settled',
    'False Removing',
  ],
  [
    'and it goes',
    { snapshot: going({ ...made, order: 'Remove', backend: { ...facts, absentAt: 'T' } }) },
    'remove-finalizer',
    'False Removing',
  ],
];

cases.push(
  [
    'deleted, its data is ordered to be put aside, where that is asked for',
    {
      snapshot: aSnapshot({ metadata: deleted, spec: { deletionPolicy: 'Retain' }, status: made }),
    },
    'order',
    'False Removing',
  ],
  [
    'but not where it goes with its Volume: the order would be final',
    {
      snapshot: aSnapshot({ metadata: deleted, spec: { deletionPolicy: 'Retain' }, status: made }),
      can: ['CopyOnWrite'],
    },
    'settled',
    'False Unsupported',
  ],
  [
    'nor while nobody tells whether it does',
    {
      snapshot: aSnapshot({ metadata: deleted, spec: { deletionPolicy: 'Retain' }, status: made }),
      can: undefined,
    },
    'settled',
    'False Removing',
  ],
  [
    'then the server does so',
    { snapshot: going({ ...made, order: 'Retain' }) },
    'settled',
    'False Retaining',
  ],
  [
    'and it goes, and its data does not',
    { snapshot: going({ ...made, order: 'Retain', backend: { ...facts, retainedAt: 'T' } }) },
    'remove-finalizer',
    'False Retaining',
  ],
  [
    'what a lost server held is lost',
    { snapshot: aSnapshot({ status: made }), lost: true },
    'settled',
    'False ServerLost',
  ],
  [
    'and goes without its word',
    { snapshot: going({ ...made, order: 'Remove' }), lost: true },
    'remove-finalizer',
    'False Removing',
  ],
);

for (const [name, change, step, says] of cases) {
  test(name, () => {
    assert.is(summary(change), step);
    assert.is(ready(change), says);
  });
}

test('its source is the Volume as it is held', () => {
  const plan = planSnapshot(world({}));
  assert.equal(plan.kind === 'write' && plan.change.source, {
    kind: 'Volume',
    uid: 'uid-db',
    name: 'db',
    id: VOLUME_ID,
    server: 's1',
    pool: 'main',
    sizeBytes: '1073741824',
  });
});

test.run();
