import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Pin, Stored, Volume } from '../../api/volume.ts';
import { newReaders, type PinWorld, planPins } from '../../controller/pins.ts';
import { aGrant, aSnapshot, aVolume, deleted, granted, provisioned } from '../builders/objects.ts';

const test = suite('pins');

const SNAP = aSnapshot();
const MADE = aSnapshot({
  status: {
    order: 'Keep',
    placement: { epoch: 1 },
    backend: { placementEpoch: 1, bootID: 'b', everProvisioned: true },
  },
});
const CLONE = aVolume({
  metadata: { name: 'clone', uid: 'uid-clone' },
  spec: { source: { volumeRef: { name: 'db' } } },
});
const still: Pin = { uid: 'uid-snap', kind: 'Snapshot', name: 'snap', still: true };
const pin: Pin = { uid: 'uid-snap', kind: 'Snapshot', name: 'snap' };

interface Case extends Partial<PinWorld> {
  readonly of?: Stored;
}

const ready = aVolume({ status: provisioned });
const held = (...pins: Pin[]): Volume => aVolume({ status: { ...provisioned, pins } });
const plan = ({ of = ready, ...world }: Case): string => {
  const pins = planPins(of, {
    copies: [],
    goneCopies: new Set(),
    lost: false,
    mayPlace: () => true,
    can: ['SnapshotsOutlive'],
    ...world,
  });
  return pins === undefined
    ? 'as it is'
    : pins
        .map(({ kind, name, still: isStill }) => `${kind} ${name}${isStill === true ? ' still' : ''}`)
        .join(', ') || 'none';
};

const cases: [name: string, given: Case, expected: string][] = [
  ['nothing to hold', {}, 'as it is'],
  ['a Snapshot holds its Volume, and nobody may write', { copies: [SNAP] }, 'Snapshot snap still'],
  [
    'one that the pool makes of volumes in use does not keep writers out',
    { copies: [SNAP], can: ['CopyOnWrite', 'SnapshotAttached', 'SnapshotsOutlive'] },
    'Snapshot snap',
  ],
  [
    'a Volume made from a Volume does',
    { copies: [CLONE], can: ['CopyOnWrite', 'SnapshotAttached'] },
    'Volume clone still',
  ],
  ['a Snapshot is never written to', { of: MADE, copies: [CLONE] }, 'Volume clone'],
  ['several at once', { copies: [SNAP, CLONE] }, 'Volume clone still, Snapshot snap still'],
  ['not where the server knows nothing of copies', { copies: [SNAP], can: undefined }, 'as it is'],
  ['not for one that has no place to go', { copies: [CLONE], mayPlace: () => false }, 'as it is'],
  [
    'nor any longer, when it had and lost it',
    {
      of: held({ uid: 'uid-clone', kind: 'Volume', name: 'clone', still: true }),
      copies: [CLONE],
      mayPlace: () => false,
    },
    'none',
  ],
  [
    'a pool that makes copies of volumes in use no more keeps writers away after all',
    { of: held(pin), copies: [SNAP] },
    'Snapshot snap still',
  ],
  [
    'when there is none',
    { of: aVolume({ status: { ...granted(aGrant()), pins: [pin] } }), copies: [SNAP] },
    'as it is',
  ],
  ['not on a volume in use', { of: aVolume({ status: granted(aGrant()) }), copies: [SNAP] }, 'as it is'],
  ['not on one that is not complete', { of: aVolume(), copies: [SNAP] }, 'as it is'],
  [
    'nor on one with a problem',
    {
      of: aVolume({
        status: {
          ...provisioned,
          backend: {
            placementEpoch: 1,
            bootID: 'b',
            everProvisioned: true,
            problem: { reason: 'DataMissing', message: '' },
          },
        },
      }),
      copies: [SNAP],
    },
    'as it is',
  ],
  [
    'nor for a copy without our finalizer',
    { copies: [aSnapshot({ metadata: { finalizers: [] } })] },
    'as it is',
  ],
  ['nor for one that goes', { copies: [aSnapshot({ metadata: deleted })] }, 'as it is'],
  ['nor for one that is made', { copies: [MADE] }, 'as it is'],
  [
    'nor for one that found another source of this name',
    {
      copies: [
        aSnapshot({
          status: {
            placement: { epoch: 1 },
            source: {
              kind: 'Volume',
              uid: 'other',
              name: 'db',
              id: 'vol1',
              server: 's1',
              pool: 'p',
              sizeBytes: '1',
            },
          },
        }),
      ],
    },
    'as it is',
  ],
  [
    'a deleted volume waits for a Snapshot that was there before',
    { of: aVolume({ metadata: deleted, status: provisioned }), copies: [SNAP] },
    'Snapshot snap still',
  ],
  [
    'and for no later one',
    {
      of: aVolume({ metadata: deleted, status: provisioned }),
      copies: [aSnapshot({ metadata: { creationTimestamp: '2026-01-03T00:00:00Z' } })],
    },
    'as it is',
  ],
  [
    'nor once its removal is ordered',
    { of: aVolume({ metadata: deleted, status: { ...provisioned, order: 'Remove' } }), copies: [SNAP] },
    'as it is',
  ],
  ['it holds until the copy is made', { of: held(still), copies: [SNAP] }, 'as it is'],
  ['then it goes', { of: held(still), copies: [MADE] }, 'none'],
  [
    'a copy that shares blocks holds on, but for writers',
    { of: held(still), copies: [MADE], can: [] },
    'Snapshot snap',
  ],
  ['and stays so', { of: held(pin), copies: [MADE], can: [] }, 'as it is'],
  ['not seen is not gone', { of: held(still) }, 'as it is'],
  ['gone is gone', { of: held(still), goneCopies: new Set(['uid-snap']) }, 'none'],
  [
    'one deleted before it was placed needs nothing',
    { of: held(still), copies: [aSnapshot({ metadata: deleted })] },
    'none',
  ],
  [
    'one that is placed may be copying',
    { of: held(still), copies: [aSnapshot({ metadata: deleted, status: { placement: { epoch: 1 } } })] },
    'as it is',
  ],
  [
    'until its server has nothing of it',
    {
      of: held(still),
      copies: [
        aSnapshot({
          metadata: deleted,
          status: { placement: { epoch: 1 }, backend: { placementEpoch: 1, bootID: 'b', absentAt: 'T' } },
        }),
      ],
    },
    'none',
  ],
];

for (const [name, given, expected] of cases) {
  test(name, () => assert.is(plan(given), expected));
}

test('no more than the schema takes, the oldest first', () => {
  const copies = Array.from({ length: 300 }, (_, index) =>
    aSnapshot({
      metadata: {
        name: `s${index}`,
        uid: `uid-${index}`,
        creationTimestamp: `2026-01-01T00:00:0${index % 7}Z`,
      },
    }),
  );
  const pins = planPins(ready, {
    copies,
    goneCopies: new Set(),
    lost: false,
    mayPlace: () => true,
    can: ['SnapshotsOutlive'],
  });
  assert.is(pins?.length, 256);
  assert.is(pins?.[0]?.uid, 'uid-0');
});

const made = { volumeID: 'vol00000000000000002', placement: { epoch: 3 }, order: 'Keep' } as const;
const reader = { server: 's2', initiator: 'iqn.2026-11.dev.vbs:copy.vol00000000000000002.3', epoch: 3 };

test('a server which makes a copy of another one’s data is named in the pin, as long as it does', () => {
  const pinned: Pin = { uid: 'uid-clone', kind: 'Volume', name: 'clone', still: true };
  const pins = (before: Pin, status: Volume['status']) =>
    planPins(held(before), {
      copies: [{ ...CLONE, ...(status === undefined ? {} : { status }) }],
      goneCopies: new Set(),
      lost: false,
      mayPlace: () => true,
      can: ['SnapshotsOutlive'],
    });
  assert.is(pins(pinned, undefined), undefined);
  assert.is(pins(pinned, { ...made, server: 's1' }), undefined);
  assert.equal(pins(pinned, { ...made, server: 's2' }), [{ ...pinned, reader }]);
  assert.is(pins({ ...pinned, reader }, { ...made, server: 's2' }), undefined);
  assert.equal(pins({ ...pinned, reader }, { ...made, server: 's1' }), [pinned]);
  const moved = pins({ ...pinned, reader }, { ...made, server: 's2', placement: { epoch: 4 } });
  assert.match(moved?.[0]?.reader?.initiator ?? '', /copy\.vol00000000000000002\.4$/);
  const done = { placementEpoch: 3, bootID: 'b', everProvisioned: true };
  assert.equal(pins({ ...pinned, reader }, { ...made, server: 's2', backend: done }), []);
});

test('hosts that need a key are those which are let in anew', () => {
  const pin = { uid: 'u', kind: 'Volume', name: 'n' } as const;
  assert.equal(newReaders([{ ...pin, reader }], held(pin)), ['s2']);
  assert.equal(newReaders([{ ...pin, reader }], held({ ...pin, reader })), []);
  assert.equal(newReaders(undefined, held({ ...pin, reader })), []);
});

test.run();
