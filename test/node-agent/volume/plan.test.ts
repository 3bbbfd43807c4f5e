import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Source, Stored, Volume } from '../../../api/volume.ts';
import type { Backing } from '../../../node-agent/roles/pool.ts';
import { emptyServerMemory } from '../../../node-agent/volume/memory.ts';
import { type BackingWorld, planBacking } from '../../../node-agent/volume/plan.ts';
import {
  aGrant,
  aSnapshot,
  aVolume,
  deleted,
  granted,
  placed,
  provisioned,
  VOLUME_ID,
} from '../../builders/objects.ts';

const test = suite('plan of the data of a Volume');

const GI = 2n ** 30n;
const remembered = { ...emptyServerMemory(VOLUME_ID, 'uid-db'), everProvisioned: true };
const backing = (state: Backing['state'], sizeBytes = GI): Backing => ({
  id: VOLUME_ID,
  state,
  sizeBytes,
  path: '/p',
});
const world = (change: Partial<BackingWorld>): BackingWorld => ({
  stored: aVolume({ status: placed }),
  memory: undefined,
  backing: undefined,
  freeBytes: 10n * GI,
  extentBytes: 2n ** 20n,
  copyOnWrite: false,
  exported: false,
  growsOnline: false,
  snapshotsHoldSize: false,
  snapshotsOutlive: true,
  zeroes: false,
  sessions: [],
  bootID: 'boot-s1',
  now: '2026-01-02T00:00:00Z',
  ...change,
});

const summary = (change: Partial<BackingWorld>): string => {
  const plan = planBacking(world(change));
  if (plan.kind === 'take') {
    const { step } = plan;
    const after = 'adoptedID' in step ? ` after ${step.adoptedID}` : '';
    return 'sizeBytes' in step ? `${step.kind} ${step.sizeBytes}${after}` : `${step.kind}${after}`;
  }
  const { fact } = plan;
  const flags = [
    plan.kind === 'copy' && `copying ${fact?.progress ?? 0} %`,
    fact?.refused && 'refused',
    fact?.problem?.reason,
    fact?.growth && `cannot grow: ${fact.growth.reason}`,
    fact?.everProvisioned && 'provisioned',
    fact?.sizeBytes,
    fact?.absentAt && 'absent',
    fact?.retainedAt && 'retained',
  ];
  if (plan.kind === 'copy' && fact === undefined) {
    return 'copying in silence';
  }
  return fact === undefined ? 'silent' : `report ${flags.filter(Boolean).join(' ')}`.trim();
};

const removal: Volume = aVolume({ metadata: deleted, status: { ...provisioned, order: 'Remove' } });
const ready = aVolume({ status: provisioned });
const retention: Volume = aVolume({ metadata: deleted, status: { ...provisioned, order: 'Retain' } });

const trashed: Volume = aVolume({
  metadata: deleted,
  status: { ...provisioned, order: 'Retain', trash: { ttlSeconds: 60 } },
});

const attached = {
  stored: aVolume({ spec: { size: '2Gi' }, status: granted(aGrant()) }),
  memory: remembered,
  backing: backing('complete'),
  exported: true,
};
const withSnapshot = {
  stored: aVolume({
    spec: { size: '2Gi' },
    status: { ...provisioned, pins: [{ uid: 'u', kind: 'Snapshot', name: 's' }] },
  }),
  memory: remembered,
  backing: backing('complete'),
} as const;

const cases: [name: string, change: Partial<BackingWorld>, expected: string][] = [
  [
    'nothing is done without our finalizer',
    { stored: aVolume({ metadata: { finalizers: [] }, status: placed }) },
    'silent',
  ],
  ['nothing is done without a placement', { stored: aVolume() }, 'silent'],
  ['the data is made', {}, `create ${GI}`],
  [
    'rounded up to the extent',
    { stored: aVolume({ spec: { size: '1048577' }, status: placed }) },
    `create ${2n * 2n ** 20n}`,
  ],
  ['what is half made is finished', { backing: backing('provisional') }, `complete ${GI}`],
  ['what was cut short is made again', { backing: backing('provisional', 0n) }, `create ${GI}`],
  ['what is complete is remembered first', { backing: backing('complete') }, 'remember-provisioned'],
  ['and then told', { backing: backing('complete'), memory: remembered }, `report provisioned ${GI}`],
  [
    'a full pool makes nothing, and remembers that before it says so',
    { freeBytes: GI - 1n },
    'remember-refusal',
  ],
  [
    'then it says so',
    { freeBytes: GI - 1n, memory: { ...emptyServerMemory(VOLUME_ID, 'uid-db'), refusedEpoch: 1 } },
    'report refused NoSpace',
  ],
  [
    'for ever, also when there is room again',
    { memory: { ...emptyServerMemory(VOLUME_ID, 'uid-db'), refusedEpoch: 1 } },
    'report refused NoSpace',
  ],
  [
    'but for this placement only',
    { memory: { ...emptyServerMemory(VOLUME_ID, 'uid-db'), refusedEpoch: 3 } },
    `create ${GI}`,
  ],
  [
    'what was begun waits for room',
    { freeBytes: 0n, backing: backing('provisional', GI / 2n) },
    'report NoSpace',
  ],
  ['a dying name from another life is no data', { backing: backing('dying') }, `create ${GI}`],
  ['data that was there and is gone is missing', { stored: ready }, `report DataMissing provisioned ${GI}`],
  ['also when only our own disk remembers', { memory: remembered }, 'report DataMissing provisioned'],
  [
    'a half-made one never takes the place of lost data',
    { stored: ready, backing: backing('provisional') },
    `report DataMissing provisioned ${GI}`,
  ],
  [
    'nor does a dying one',
    { stored: ready, backing: backing('dying') },
    `report DataMissing provisioned ${GI}`,
  ],
  [
    'another cluster’s data is not touched',
    { backing: { ...backing('complete'), foreign: true } },
    'report NotOurs',
  ],
  [
    'also when it should go',
    { stored: removal, backing: { ...backing('complete'), foreign: true } },
    `report NotOurs provisioned ${GI}`,
  ],
  ['one in use does not', attached, `report provisioned ${GI}`],
  ['but where every hop follows', { ...attached, growsOnline: true }, `grow ${2n * GI}`],
  [
    'and there is room, which is no problem of the data',
    { ...attached, growsOnline: true, freeBytes: GI - 1n },
    `report cannot grow: NoSpace provisioned ${GI}`,
  ],
  [
    'what lacks room and must wait anyhow only waits',
    { ...attached, freeBytes: 0n },
    `report provisioned ${GI}`,
  ],
  ['a volume with snapshots grows', withSnapshot, `grow ${2n * GI}`],
  [
    'but not where they hold its size',
    { ...withSnapshot, snapshotsHoldSize: true },
    `report provisioned ${GI}`,
  ],
  [
    'a free volume grows',
    {
      stored: aVolume({ spec: { size: '2Gi' }, status: provisioned }),
      backing: backing('complete'),
      memory: remembered,
    },
    `grow ${2n * GI}`,
  ],
  [
    'not while it is exported',
    {
      stored: aVolume({ spec: { size: '2Gi' }, status: provisioned }),
      backing: backing('complete'),
      memory: remembered,
      exported: true,
    },
    `report provisioned ${GI}`,
  ],
  [
    'not while it is granted',
    {
      stored: aVolume({ spec: { size: '2Gi' }, status: granted(aGrant()) }),
      backing: backing('complete'),
      memory: remembered,
    },
    `report provisioned ${GI}`,
  ],
  [
    'it never shrinks',
    {
      stored: aVolume({ spec: { size: '1Mi' }, status: provisioned }),
      backing: backing('complete'),
      memory: remembered,
    },
    `report provisioned ${GI}`,
  ],
  [
    'a deletion alone orders nothing',
    {
      stored: aVolume({ metadata: deleted, status: provisioned }),
      backing: backing('complete'),
      memory: remembered,
    },
    `report provisioned ${GI}`,
  ],
  ['the order removes', { stored: removal, backing: backing('complete'), memory: remembered }, 'retire'],
  ['also what was half made', { stored: removal, backing: backing('provisional') }, 'retire'],
  [
    'not under a target',
    { stored: removal, backing: backing('complete'), exported: true },
    `report provisioned ${GI}`,
  ],
  [
    'not under a grant',
    {
      stored: aVolume({ metadata: deleted, status: { ...granted(aGrant()), order: 'Remove' } }),
      backing: backing('complete'),
    },
    `report provisioned ${GI}`,
  ],
  [
    'a retired one is gone for the cluster',
    { stored: removal, backing: backing('dying') },
    `report provisioned ${GI} absent`,
  ],
  ['what was never there is gone too', { stored: removal }, `report provisioned ${GI} absent`],
];

for (const [name, change, expected] of cases) {
  test(name, () => assert.is(summary(change), expected));
}

test('the time of absence is told once', () => {
  const gone = aVolume({
    metadata: deleted,
    status: {
      ...provisioned,
      order: 'Remove',
      backend: { placementEpoch: 1, bootID: 'boot-s1', absentAt: 'earlier' },
    },
  });
  const plan = planBacking(world({ stored: gone }));
  assert.is(plan.kind === 'report' ? plan.fact?.absentAt : '', 'earlier');
});

const SNAPSHOT_ID = 'snap0123456789abcdef';
const source: Source & { kind: 'Volume'; uid: string } = {
  kind: 'Volume',
  uid: 'uid-db',
  name: 'db',
  id: VOLUME_ID,
  server: 's1',
  pool: 'main',
  sizeBytes: GI.toString(),
};
const { volumeID: _, ...where } = placed;
const placedSnapshot = (metadata: object = {}, status: object = {}): Stored =>
  aSnapshot({ metadata, status: { ...where, snapshotID: SNAPSHOT_ID, source, ...status } });
const blank = emptyServerMemory(SNAPSHOT_ID, 'uid-snap');
const copying = (copiedBytes: bigint, how: 'Copy' | 'CopyOnWrite' = 'Copy') => ({
  ...blank,
  copy: { sourceID: VOLUME_ID, how, copiedBytes: copiedBytes.toString() },
});
const copy = (change: Partial<BackingWorld>): string => summary({ stored: placedSnapshot(), ...change });

const copies: [name: string, change: Partial<BackingWorld>, expected: string][] = [
  ['how it is copied is remembered first', {}, 'remember-copy'],
  ['not without room: a Snapshot has no other place', { freeBytes: GI - 1n }, 'report NoSpace'],
  ['what is shared takes none', { freeBytes: 0n, copyOnWrite: true }, 'remember-copy'],
  [
    'a provisional backing of which nothing is remembered goes',
    { backing: backing('provisional') },
    'discard',
  ],
  ['room is made', { memory: copying(0n) }, `create ${GI}`],
  ['then bytes are copied', { memory: copying(0n), backing: backing('provisional') }, 'copying in silence'],
  [
    'and it is told how far, in steps of five',
    { memory: copying((GI * 37n) / 100n), backing: backing('provisional') },
    'copying 35 %',
  ],
  ['a lost backing is copied into from the start', { memory: copying(GI / 2n) }, 'remember-copy'],
  ['all is copied', { memory: copying(GI), backing: backing('provisional') }, `complete ${GI}`],
  [
    'the final name means complete',
    { memory: copying(GI), backing: backing('complete') },
    'remember-provisioned',
  ],
  ['where the pool copies on write it is one step', { memory: copying(0n, 'CopyOnWrite') }, 'snapshot'],
  [
    'which is whole at once',
    { memory: copying(0n, 'CopyOnWrite'), backing: backing('provisional') },
    `complete ${GI}`,
  ],
  [
    'a removed one goes also in the middle',
    {
      memory: copying(GI / 2n),
      backing: backing('provisional'),
      stored: placedSnapshot(deleted, { order: 'Remove' }),
    },
    'retire',
  ],
  [
    'not while something is copied from it',
    {
      backing: backing('complete'),
      stored: placedSnapshot(deleted, { order: 'Remove', pins: [{ uid: 'u', kind: 'Volume', name: 'v' }] }),
    },
    'report',
  ],
];

for (const [name, change, expected] of copies) {
  test(`a copy: ${name}`, () => assert.is(copy(change).replace(/^report copying/, 'copying'), expected));
}

test('where copies go with their source a Volume is copied byte by byte, and a Snapshot is not', () => {
  const how = (stored: Stored) => {
    const plan = planBacking(world({ stored, copyOnWrite: true, snapshotsOutlive: false }));
    return plan.kind === 'take' && plan.step.kind === 'remember-copy' ? plan.step.copy.how : plan.kind;
  };
  assert.is(how(placedSnapshot()), 'CopyOnWrite');
  assert.is(how(aVolume({ status: { ...placed, source } })), 'Copy');
});

test('a snapshot that was half made is made anew, and one that overflowed before it was complete goes', () => {
  const made = { ...backing('provisional'), sourceID: VOLUME_ID };
  const planned = (more: Partial<Backing>) =>
    copy({ memory: copying(0n, 'CopyOnWrite'), backing: { ...made, ...more } });
  assert.is(planned({}), `complete ${GI}`);
  assert.is(planned({ half: true }), 'snapshot');
  assert.is(planned({ fault: 'overflowed' }), 'discard');
});

const EXTENT = 4n * 2n ** 20n;
const zeroed = (bytes: bigint) =>
  ({
    ...emptyServerMemory(VOLUME_ID, 'uid-db'),
    copy: { sourceID: '', how: 'Zero', copiedBytes: bytes.toString() },
  }) as const;
const growing = { ...backing('growing', 2n * GI), cleanBytes: GI };
const grownTo = (zeroedUntil: bigint, fromBytes = GI) => ({
  ...remembered,
  growth: { fromBytes: fromBytes.toString(), zeroedUntil: zeroedUntil.toString() },
});
const larger = aVolume({ spec: { size: '2Gi' }, status: provisioned });

const unclean: [name: string, change: Partial<BackingWorld>, expected: string][] = [
  ['room is made first', {}, `create ${GI}`],
  ['then it is remembered that it is to be zeroed', { backing: backing('provisional') }, 'remember-copy'],
  ['which takes its time', { backing: backing('provisional'), memory: zeroed(0n) }, 'copying in silence'],
  ['and is told', { backing: backing('provisional'), memory: zeroed(GI / 2n) }, 'report copying 50 %'],
  ['all of it', { backing: backing('provisional'), memory: zeroed(GI - 1n) }, 'report copying 95 %'],
  ['and then it is whole', { backing: backing('provisional'), memory: zeroed(GI) }, `complete ${GI}`],
  ['what was zeroed and is gone is to be zeroed again', { memory: zeroed(GI) }, 'remember-copy'],
  [
    'the space behind a copy is zeroed as well',
    {
      stored: aVolume({ spec: { size: '2Gi' }, status: { ...placed, source } }),
      backing: backing('provisional', 2n * GI),
      memory: copying(GI),
    },
    'report copying 50 %',
  ],
  ['it grows when it is free', { ...attached, stored: larger, exported: false }, `grow ${2n * GI}`],
  [
    'but not while it is copied',
    { ...withSnapshot, exported: false },
    `report cannot grow: Resizing provisioned ${GI}`,
  ],
  [
    'meanwhile it has the size of its data',
    { stored: larger, backing: growing, memory: remembered },
    `report copying 0 % cannot grow: Resizing provisioned ${GI}`,
  ],
  [
    'what was zeroed from another size on says nothing',
    { stored: larger, backing: growing, memory: grownTo(2n * GI, GI - EXTENT) },
    `report copying 0 % cannot grow: Resizing provisioned ${GI}`,
  ],
  ['and then it has grown', { stored: larger, backing: growing, memory: grownTo(2n * GI) }, 'grown'],
  [
    'one that has not come to grow is as it was',
    { stored: larger, backing: { ...growing, sizeBytes: GI }, memory: remembered },
    'grown',
  ],
  [
    'that it was whole is remembered first',
    { stored: larger, backing: growing, memory: undefined },
    'remember-provisioned',
  ],
  ['removed, it goes as it is', { stored: removal, backing: growing, memory: remembered }, 'retire'],
  [
    'retained, it is made whole before',
    { stored: retention, backing: growing, memory: grownTo(2n * GI) },
    'grown',
  ],
];

for (const [name, change, expected] of unclean) {
  test(`where new space holds what others left: ${name}`, () =>
    assert.is(summary({ zeroes: true, ...change }), expected));
}

test('lost data is remembered before it is told, and told for ever', () => {
  const lost = { ...backing('complete'), fault: 'overflowed' };
  assert.is(summary({ stored: ready, memory: remembered, backing: lost }), 'remember-fault');
  const memory = { ...remembered, fault: 'overflowed' };
  for (const one of [lost, backing('complete')]) {
    assert.is(summary({ stored: ready, memory, backing: one }), `report DataLost provisioned ${GI}`);
  }
});

test('a copy on write is chosen only beside its source', () => {
  const how = (change: Partial<BackingWorld>) => {
    const plan = planBacking(world({ stored: placedSnapshot(), ...change }));
    return plan.kind === 'take' && plan.step.kind === 'remember-copy' ? plan.step.copy.how : plan.kind;
  };
  assert.is(how({}), 'Copy');
  assert.is(how({ copyOnWrite: true }), 'CopyOnWrite');
  assert.is(how({ copyOnWrite: true, stored: placedSnapshot({}, { pool: 'other' }) }), 'Copy');
});

test('a larger volume grows when its copy on write is complete', () => {
  const larger = aVolume({ spec: { size: '2Gi' }, status: { ...placed, source } });
  const done = { ...copying(0n, 'CopyOnWrite'), everProvisioned: true };
  assert.is(summary({ stored: larger, memory: done, backing: backing('complete') }), `grow ${2n * GI}`);
});

const RETAINED_ID = 'vol0123456789abcdef0';
const adoption: NonNullable<Volume['status']> = {
  ...placed,
  source: {
    kind: 'Retained',
    name: 'ns/old',
    id: RETAINED_ID,
    server: 's1',
    pool: 'main',
    sizeBytes: GI.toString(),
  },
};
const adopter = aVolume({ status: adoption });
const adopting = {
  ...emptyServerMemory(VOLUME_ID, 'uid-db'),
  copy: { sourceID: RETAINED_ID, how: 'Adopt', copiedBytes: '0' },
} as const;
const retained = { ...backing('retained'), id: RETAINED_ID };
const dropped = (order: 'Remove' | 'Retain') =>
  aVolume({ metadata: deleted, status: { ...adoption, order } });

const keeping: [name: string, change: Partial<BackingWorld>, expected: string][] = [
  ['the order puts the data aside', { stored: retention, backing: backing('complete') }, 'retain'],
  [
    'not under a target',
    { stored: retention, backing: backing('complete'), exported: true },
    `report provisioned ${GI}`,
  ],
  [
    'not under a grant',
    {
      stored: aVolume({ metadata: deleted, status: { ...granted(aGrant()), order: 'Retain' } }),
      backing: backing('complete'),
    },
    `report provisioned ${GI}`,
  ],
  [
    'then it is told',
    { stored: retention, backing: backing('retained') },
    `report provisioned ${GI} retained`,
  ],
  ['the trash is a way to put it aside', { stored: trashed, backing: backing('complete') }, 'retain'],
  [
    'then it is told, too',
    { stored: trashed, backing: backing('retained'), inTrash: true },
    `report provisioned ${GI} retained`,
  ],
  [
    'what is in the trash, and was ordered to be retained after its store was set back, is retained without end',
    { stored: retention, backing: backing('retained'), inTrash: true },
    'keep',
  ],
  [
    'an order to remove does not touch what is in the trash',
    { stored: removal, backing: backing('retained'), inTrash: true },
    `report provisioned ${GI} absent`,
  ],
  ['what is gone is told as gone', { stored: retention }, `report provisioned ${GI} absent`],
  [
    'what is half made is freed by nobody',
    { stored: retention, backing: backing('provisional') },
    `report provisioned ${GI} absent`,
  ],
  [
    'an order to remove does not touch what is retained',
    { stored: removal, backing: backing('retained') },
    `report provisioned ${GI} absent`,
  ],
  [
    'an object set back to an earlier day does not get its data back by itself',
    { stored: ready, backing: backing('retained') },
    `report DataMissing provisioned ${GI}`,
  ],
  ['nor is it made anew', { backing: backing('retained') }, 'report DataMissing'],
  ['an adoption is remembered first', { stored: adopter, retained }, 'remember-copy'],
  ['then it is done', { stored: adopter, retained, memory: adopting, freeBytes: 0n }, 'adopt'],
  [
    'then it is whole',
    { stored: adopter, memory: adopting, backing: backing('provisional') },
    `complete ${GI} after ${RETAINED_ID}`,
  ],
  [
    'also when our disk has forgotten: it is neither discarded nor made',
    { stored: adopter, backing: backing('provisional') },
    'remember-copy',
  ],
  ['what another has taken is told as gone', { stored: adopter, memory: adopting }, 'report RetainedGone'],
  [
    'deleted midway, it is removed',
    { stored: dropped('Remove'), memory: adopting, backing: backing('provisional') },
    `retire after ${RETAINED_ID}`,
  ],
  [
    'or made whole, to be put aside again',
    { stored: dropped('Retain'), memory: adopting, backing: backing('provisional') },
    `complete ${GI} after ${RETAINED_ID}`,
  ],
  [
    'deleted before, it leaves the data to others',
    { stored: dropped('Remove'), memory: adopting, retained },
    'report absent',
  ],
  [
    'a larger one grows when it is complete',
    {
      stored: aVolume({ spec: { size: '2Gi' }, status: adoption }),
      memory: { ...adopting, everProvisioned: true },
      backing: backing('complete'),
    },
    `grow ${2n * GI}`,
  ],
];

for (const [name, change, expected] of keeping) {
  test(`retained data: ${name}`, () => assert.is(summary(change), expected));
}

const orphaned: NonNullable<Volume['status']> = {
  ...placed,
  source: {
    kind: 'Orphaned',
    name: 'ns/db',
    id: VOLUME_ID,
    server: 's1',
    pool: 'main',
    sizeBytes: GI.toString(),
  },
};
const heir = aVolume({ status: orphaned });
const inherited = { ...remembered, revision: 8, withdrawnBelow: 9 };

const takeovers: [name: string, change: Partial<BackingWorld>, expected: string][] = [
  ['it is this volume’s first', { stored: heir, backing: backing('complete') }, 'take-over'],
  [
    'not while somebody has it open of whom nothing is remembered; it is not said to be provisioned meanwhile',
    { stored: heir, backing: backing('complete'), exported: true, sessions: ['iqn.x:host.h1'] },
    `report StillOpen ${GI}`,
  ],
  [
    'half grown, it is whole as far as its data goes',
    { stored: heir, backing: backing('growing') },
    'take-over',
  ],
  ['what is gone is never made', { stored: heir }, 'report RetainedGone'],
  [
    'nor what was half made finished',
    { stored: heir, backing: backing('provisional') },
    'report RetainedGone',
  ],
  [
    'then it is as every other',
    { stored: heir, backing: backing('complete'), memory: inherited },
    `report provisioned ${GI}`,
  ],
  ['and what goes then is missing', { stored: heir, memory: inherited }, 'report DataMissing provisioned'],
  [
    'deleted before, it leaves the data where it is, also open',
    {
      stored: aVolume({ metadata: deleted, status: { ...orphaned, order: 'Remove' } }),
      backing: backing('complete'),
      exported: true,
    },
    'report absent',
  ],
  [
    'deleted afterwards, it is removed',
    {
      stored: aVolume({ metadata: deleted, status: { ...orphaned, order: 'Remove' } }),
      backing: backing('complete'),
      memory: inherited,
    },
    'retire',
  ],
];

for (const [name, change, expected] of takeovers) {
  test(`orphaned data: ${name}`, () => assert.is(summary(change), expected));
}

test('orphaned data: grants go on above those of its earlier life', () => {
  const plan = planBacking(world({ stored: heir, backing: backing('complete'), memory: inherited }));
  assert.is(plan.kind === 'report' && plan.fact?.appliedRevision, 8);
});

test('orphaned data of a Snapshot is put aside before it is adopted', () => {
  const orphan = { ...backing('complete'), id: RETAINED_ID };
  assert.is(summary({ stored: adopter, memory: adopting, orphan }), 'retain-orphan');
});

test('a volume takes the size of its source when it asks for none', () => {
  const { size: __, ...rest } = aVolume().spec;
  const volume = { ...aVolume({ status: { ...placed, source } }), spec: rest } as Volume;
  assert.is(summary({ stored: volume, memory: copying(0n) }), `create ${GI}`);
});

test.run();
