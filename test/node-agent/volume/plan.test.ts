import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Volume } from '../../../api/volume.ts';
import type { Backing } from '../../../node-agent/roles/pool.ts';
import { emptyServerMemory } from '../../../node-agent/volume/memory.ts';
import { type BackingWorld, planBacking } from '../../../node-agent/volume/plan.ts';
import { aGrant, aVolume, deleted, granted, placed, provisioned, VOLUME_ID } from '../../builders/objects.ts';

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
  volume: aVolume({ status: placed }),
  memory: undefined,
  backing: undefined,
  freeBytes: 10n * GI,
  extentBytes: 2n ** 20n,
  exported: false,
  bootID: 'boot-s1',
  now: '2026-01-02T00:00:00Z',
  ...change,
});

const summary = (change: Partial<BackingWorld>): string => {
  const plan = planBacking(world(change));
  if (plan.kind === 'take') {
    return 'sizeBytes' in plan.step ? `${plan.step.kind} ${plan.step.sizeBytes}` : plan.step.kind;
  }
  const { fact } = plan;
  const flags = [
    fact?.problem?.reason,
    fact?.everProvisioned && 'provisioned',
    fact?.sizeBytes,
    fact?.absentAt && 'absent',
  ];
  return fact === undefined ? 'silent' : `report ${flags.filter(Boolean).join(' ')}`.trim();
};

const removal: Volume = aVolume({ metadata: deleted, status: { ...provisioned, order: 'Remove' } });
const ready = aVolume({ status: provisioned });

const cases: [name: string, change: Partial<BackingWorld>, expected: string][] = [
  [
    'nothing is done without our finalizer',
    { volume: aVolume({ metadata: { finalizers: [] }, status: placed }) },
    'silent',
  ],
  ['nothing is done without a placement', { volume: aVolume() }, 'silent'],
  ['the data is made', {}, `create ${GI}`],
  [
    'rounded up to the extent',
    { volume: aVolume({ spec: { size: '1048577' }, status: placed }) },
    `create ${2n * 2n ** 20n}`,
  ],
  ['what is half made is finished', { backing: backing('provisional') }, `complete ${GI}`],
  ['what was cut short is made again', { backing: backing('provisional', 0n) }, `create ${GI}`],
  ['what is complete is remembered first', { backing: backing('complete') }, 'remember-provisioned'],
  ['and then told', { backing: backing('complete'), memory: remembered }, `report provisioned ${GI}`],
  ['a full pool makes nothing', { freeBytes: GI - 1n }, 'report NoSpace'],
  ['a dying name from another life is no data', { backing: backing('dying') }, `create ${GI}`],
  ['data that was there and is gone is missing', { volume: ready }, `report DataMissing provisioned ${GI}`],
  ['also when only our own disk remembers', { memory: remembered }, 'report DataMissing provisioned'],
  [
    'a half-made one never takes the place of lost data',
    { volume: ready, backing: backing('provisional') },
    `report DataMissing provisioned ${GI}`,
  ],
  [
    'nor does a dying one',
    { volume: ready, backing: backing('dying') },
    `report DataMissing provisioned ${GI}`,
  ],
  [
    'another cluster’s data is not touched',
    { backing: { ...backing('complete'), foreign: true } },
    'report NotOurs',
  ],
  [
    'also when it should go',
    { volume: removal, backing: { ...backing('complete'), foreign: true } },
    `report NotOurs provisioned ${GI}`,
  ],
  [
    'a free volume grows',
    {
      volume: aVolume({ spec: { size: '2Gi' }, status: provisioned }),
      backing: backing('complete'),
      memory: remembered,
    },
    `grow ${2n * GI}`,
  ],
  [
    'not while it is exported',
    {
      volume: aVolume({ spec: { size: '2Gi' }, status: provisioned }),
      backing: backing('complete'),
      memory: remembered,
      exported: true,
    },
    `report provisioned ${GI}`,
  ],
  [
    'not while it is granted',
    {
      volume: aVolume({ spec: { size: '2Gi' }, status: granted(aGrant()) }),
      backing: backing('complete'),
      memory: remembered,
    },
    `report provisioned ${GI}`,
  ],
  [
    'it never shrinks',
    {
      volume: aVolume({ spec: { size: '1Mi' }, status: provisioned }),
      backing: backing('complete'),
      memory: remembered,
    },
    `report provisioned ${GI}`,
  ],
  [
    'a deletion alone orders nothing',
    {
      volume: aVolume({ metadata: deleted, status: provisioned }),
      backing: backing('complete'),
      memory: remembered,
    },
    `report provisioned ${GI}`,
  ],
  ['the order removes', { volume: removal, backing: backing('complete'), memory: remembered }, 'retire'],
  ['also what was half made', { volume: removal, backing: backing('provisional') }, 'retire'],
  [
    'not under a target',
    { volume: removal, backing: backing('complete'), exported: true },
    `report provisioned ${GI}`,
  ],
  [
    'not under a grant',
    {
      volume: aVolume({ metadata: deleted, status: { ...granted(aGrant()), order: 'Remove' } }),
      backing: backing('complete'),
    },
    `report provisioned ${GI}`,
  ],
  [
    'a retired one is gone for the cluster',
    { volume: removal, backing: backing('dying') },
    `report provisioned ${GI} absent`,
  ],
  ['what was never there is gone too', { volume: removal }, `report provisioned ${GI} absent`],
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
  const plan = planBacking(world({ volume: gone }));
  assert.is(plan.kind === 'report' ? plan.fact?.absentAt : '', 'earlier');
});

test.run();
