import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Volume } from '../../../api/volume.ts';
import { planVolume, type VolumePlan, type VolumeWorld } from '../../../controller/volume/plan.ts';
import {
  aClass,
  admitted,
  aGrant,
  aHypervisor,
  anAttachment,
  aServer,
  aSnapshot,
  aVolume,
  aWorld,
  deleted,
  granted,
  placed,
  provisioned,
} from '../../builders/objects.ts';

const test = suite('plan of a Volume');

const summary = (plan: VolumePlan): string => {
  if (plan.kind !== 'write') {
    return plan.kind;
  }
  const { grants, order, trash, server, placement } = plan.change;
  const items = grants?.items?.map((item) => `${item.epoch}:${item.hypervisor}:${item.state}`).join(' ');
  return [
    server && `place ${server}${placement?.epoch === 1 ? '' : ` ${placement?.epoch}`}`,
    order === 'Remove' && 'remove',
    order === 'Retain' && (trash === undefined ? 'retain' : `trash ${trash.ttlSeconds}`),
    grants && `r${grants.revision} [${items}]`,
  ]
    .filter(Boolean)
    .join(' ');
};

const retain = { deletionPolicy: 'Retain' } as const;
const withTrash = [aClass('standard', { trash: { ttlSeconds: 60 } })];
const able = { can: ['Trash'] } as const;
const ending = (status: Volume['status'], spec: Partial<Volume['spec']> = {}) =>
  aVolume({ metadata: deleted, spec, status });
const adopting: NonNullable<Volume['status']> = {
  ...placed,
  source: {
    kind: 'Retained',
    name: 'ns/old',
    id: 'vol0123456789abcdef0',
    server: 's1',
    pool: 'main',
    sizeBytes: '1',
  },
};
const aside: NonNullable<Volume['status']> = {
  ...provisioned,
  order: 'Retain',
  backend: { placementEpoch: 1, bootID: 'b', everProvisioned: true, retainedAt: '2026-01-02T00:00:01Z' },
};
const placedWith = (ttlSeconds: number) => ({
  ...provisioned,
  placement: { epoch: 1, trash: { ttlSeconds } },
});
const pool = { name: 'main', profile: 'file', totalBytes: '100000000', extentBytes: '1048576' };
const withdrawn = { epoch: 1, bootID: 'boot-s1', state: 'Withdrawn' } as const;
const released = { epoch: 1, bootID: 'boot-h1', state: 'Released' } as const;
const held = aVolume({ status: granted(aGrant()) });
const fencing = aVolume({ status: granted(aGrant({ state: 'Fencing' })) });
const bound = anAttachment({ status: admitted });
const second = anAttachment({
  metadata: { name: 'second', uid: 'uid-second', creationTimestamp: '2026-01-01T00:00:05Z' },
});

const cases: [name: string, world: Partial<VolumeWorld>, expected: string][] = [
  [
    'the finalizer is the first write',
    { volume: aVolume({ metadata: { finalizers: [] } }) },
    'add-finalizer',
  ],
  [
    'nothing is begun on an object that is going and was never ours',
    { volume: aVolume({ metadata: { finalizers: [], ...deleted } }) },
    'settled',
  ],
  ['a new volume is placed', {}, 'place s1'],
  ['without a fitting pool it waits', { servers: [] }, 'settled'],
  ['a placed volume waits for its server', { volume: aVolume({ status: placed }) }, 'settled'],
  [
    'a ready volume goes to who waits for it',
    { volume: aVolume({ status: provisioned }), attachments: [anAttachment()] },
    'r1 [1:h1:Granted]',
  ],
  [
    'nobody gets a volume with a problem',
    {
      volume: aVolume({
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
      attachments: [anAttachment()],
    },
    'settled',
  ],
  [
    'the first to ask gets it',
    { volume: aVolume({ status: provisioned }), attachments: [second, anAttachment()] },
    'r1 [1:h1:Granted]',
  ],
  [
    'one that cannot have it now holds nobody up',
    {
      volume: aVolume({ status: provisioned }),
      attachments: [anAttachment({ spec: { instance: { name: 'nowhere' } } }), second],
    },
    'r1 [1:h1:Granted]',
  ],
  ['an Exclusive volume is granted once', { volume: held, attachments: [bound, second] }, 'settled'],
  [
    'a new grant has a number never used before',
    {
      volume: aVolume({ status: { ...provisioned, grants: { revision: 7, items: [] } } }),
      attachments: [anAttachment()],
    },
    'r8 [8:h1:Granted]',
  ],
  ...(['silent', 'cordoned', 'fenced'] as const).map((how): [string, Partial<VolumeWorld>, string] => [
    `no grant to a ${how} hypervisor`,
    {
      volume: aVolume({ status: provisioned }),
      attachments: [anAttachment()],
      hypervisors: [
        aHypervisor('h1', {
          ...(how === 'silent' ? { freshness: 'stale' } : {}),
          ...(how === 'cordoned' ? { spec: { cordoned: true } } : {}),
          ...(how === 'fenced' ? { spec: { fenced: true } } : {}),
        }),
      ],
    },
    'settled',
  ]),
  [
    'a released grant is kept until the target is closed',
    {
      volume: held,
      attachments: [anAttachment({ metadata: deleted, status: { ...admitted, connection: released } })],
    },
    'settled',
  ],
  [
    'a withdrawn grant is dropped',
    {
      volume: held,
      attachments: [anAttachment({ metadata: deleted, status: { ...admitted, export: withdrawn } })],
    },
    'r2 []',
  ],
  [
    'what was withdrawn for another epoch says nothing',
    {
      volume: aVolume({ status: granted(aGrant({ epoch: 2 })) }),
      attachments: [anAttachment({ status: { ...admitted, epoch: 2, export: withdrawn } })],
    },
    'settled',
  ],
  [
    'a missing Attachment proves nothing while nobody asked the API',
    { volume: held, attachments: [] },
    'settled',
  ],
  [
    'a grant whose Attachment is gone is cut off',
    { volume: held, attachments: [], goneAttachments: new Set(['uid-att']) },
    'r2 [1:h1:Fencing]',
  ],
  [
    'and dropped when the server has applied that',
    {
      volume: aVolume({
        status: {
          ...granted(aGrant({ state: 'Fencing' })),
          backend: { placementEpoch: 1, bootID: 'b', everProvisioned: true, appliedRevision: 1 },
        },
      }),
      attachments: [],
      goneAttachments: new Set(['uid-att']),
    },
    'r2 []',
  ],
  ['not before', { volume: fencing, attachments: [], goneAttachments: new Set(['uid-att']) }, 'settled'],
  [
    'a fenced hypervisor is cut off',
    { volume: held, attachments: [bound], hypervisors: [aHypervisor('h1', { spec: { fenced: true } })] },
    'r2 [1:h1:Fencing]',
  ],
  [
    'detachPolicy Fence cuts a silent hypervisor off',
    {
      volume: held,
      attachments: [anAttachment({ metadata: deleted, spec: { detachPolicy: 'Fence' }, status: admitted })],
      hypervisors: [aHypervisor('h1', { freshness: 'stale' })],
    },
    'r2 [1:h1:Fencing]',
  ],
  ...(['fresh', 'unknown'] as const).map((freshness): [string, Partial<VolumeWorld>, string] => [
    `and is graceful while it is ${freshness}`,
    {
      volume: held,
      attachments: [anAttachment({ metadata: deleted, spec: { detachPolicy: 'Fence' }, status: admitted })],
      hypervisors: [aHypervisor('h1', { freshness })],
    },
    'settled',
  ]),
  [
    'also when the Hypervisor object is gone and its host is silent',
    {
      volume: held,
      attachments: [anAttachment({ metadata: deleted, spec: { detachPolicy: 'Fence' }, status: admitted })],
      hypervisors: [],
      freshnessOf: () => 'stale',
    },
    'r2 [1:h1:Fencing]',
  ],
  [
    'no time alone cuts anybody off',
    {
      volume: held,
      attachments: [anAttachment({ metadata: deleted, status: admitted })],
      hypervisors: [aHypervisor('h1', { freshness: 'stale' })],
    },
    'settled',
  ],
  [
    'a deleted volume in use is not removed',
    { volume: aVolume({ metadata: deleted, status: granted(aGrant()) }), attachments: [bound] },
    'settled',
  ],
  [
    'a deleted free volume is ordered away',
    { volume: aVolume({ metadata: deleted, status: provisioned }) },
    'remove',
  ],
  [
    'or its data is to be put aside, where that is asked for',
    { volume: aVolume({ metadata: deleted, spec: retain, status: provisioned }) },
    'retain',
  ],
  [
    'not while it is in use',
    {
      volume: aVolume({ metadata: deleted, spec: retain, status: granted(aGrant()) }),
      attachments: [bound],
    },
    'settled',
  ],
  [
    'nor while something is copied from it',
    {
      volume: aVolume({
        metadata: deleted,
        spec: retain,
        status: { ...provisioned, pins: [{ uid: 'uid-snap', kind: 'Snapshot', name: 'snap', still: true }] },
      }),
      copies: [aSnapshot({ status: { placement: { epoch: 1 } } })],
    },
    'settled',
  ],
  [
    'of what was never complete there is nothing to put aside',
    { volume: aVolume({ metadata: deleted, spec: retain, status: placed }) },
    'remove',
  ],
  [
    'but of what is about to be adopted',
    { volume: aVolume({ metadata: deleted, spec: retain, status: adopting }) },
    'retain',
  ],
  [
    'which is removed with its Volume else',
    { volume: aVolume({ metadata: deleted, status: adopting }) },
    'remove',
  ],
  [
    'what was ordered is ordered for ever',
    { volume: aVolume({ metadata: deleted, spec: retain, status: { ...provisioned, order: 'Remove' } }) },
    'settled',
  ],
  [
    'also the other way',
    { volume: aVolume({ metadata: deleted, status: { ...provisioned, order: 'Retain' } }) },
    'settled',
  ],
  [
    'a class with trash keeps the data for a time',
    { volume: ending(provisioned), classes: withTrash, ...able },
    'trash 60',
  ],
  [
    'what is to be retained is retained without end all the same',
    { volume: ending(provisioned, retain), classes: withTrash, ...able },
    'retain',
  ],
  [
    'what was never complete is removed at once all the same',
    { volume: ending(placed), classes: withTrash, ...able },
    'remove',
  ],
  [
    'what is being adopted was whole before',
    { volume: ending(adopting), classes: withTrash, ...able },
    'trash 60',
  ],
  [
    'not while it is in use',
    { volume: ending(granted(aGrant())), attachments: [bound], classes: withTrash, ...able },
    'settled',
  ],
  [
    'of a class which is gone, what it said at the placement',
    { volume: ending(placedWith(3600)), classes: [], ...able },
    'trash 3600',
  ],
  ['of a class which is there, what it says now', { volume: ending(placedWith(3600)), ...able }, 'remove'],
  [
    'whatever it has said before',
    { volume: ending(placedWith(3600)), classes: withTrash, ...able },
    'trash 60',
  ],
  [
    'a pool without trash is not ordered to remove what its class keeps',
    { volume: ending(provisioned), classes: withTrash, can: ['Readable'] },
    'settled',
  ],
  [
    'nor one of which nothing is known',
    { volume: ending(provisioned), classes: withTrash, can: undefined },
    'settled',
  ],
  [
    'of a lost server there is nothing to keep',
    { volume: ending(provisioned), classes: withTrash, can: undefined, lost: true },
    'remove-finalizer',
  ],
  [
    'what was ordered is ordered for ever, also from the class',
    { volume: ending({ ...provisioned, order: 'Retain', trash: { ttlSeconds: 5 } }), classes: [] },
    'settled',
  ],
  [
    'data that was put aside lets the Volume go',
    { volume: aVolume({ metadata: deleted, status: aside }) },
    'remove-finalizer',
  ],
  [
    'the finalizer stays until the data is seen gone',
    { volume: aVolume({ metadata: deleted, status: { ...provisioned, order: 'Remove' } }) },
    'settled',
  ],
  [
    'and goes then',
    {
      volume: aVolume({
        metadata: deleted,
        status: {
          ...provisioned,
          order: 'Remove',
          backend: { placementEpoch: 1, bootID: 'b', absentAt: '2026-01-02T00:00:01Z' },
        },
      }),
    },
    'remove-finalizer',
  ],
  [
    'what was gone in an earlier placement is not gone in this one',
    {
      volume: aVolume({
        metadata: deleted,
        status: {
          ...provisioned,
          placement: { epoch: 2 },
          order: 'Remove',
          backend: { placementEpoch: 1, bootID: 'b', absentAt: '2026-01-02T00:00:01Z' },
        },
      }),
    },
    'settled',
  ],
  [
    'a volume of a lost server is let go without its word',
    { volume: aVolume({ metadata: deleted, status: provisioned }), lost: true },
    'remove-finalizer',
  ],
  [
    'a grant of a lost server is dropped on the hypervisor’s word',
    {
      volume: held,
      attachments: [
        anAttachment({
          metadata: deleted,
          status: { ...admitted, connection: { epoch: 1, bootID: 'b', state: 'Released' } },
        }),
      ],
      lost: true,
    },
    'r2 []',
  ],
  [
    'and on nothing less',
    { volume: held, attachments: [anAttachment({ metadata: deleted, status: admitted })], lost: true },
    'settled',
  ],
  [
    'but one that is to be cut off: nobody is left who could',
    {
      volume: aVolume({ status: granted(aGrant({ state: 'Fencing' })) }),
      attachments: [anAttachment({ metadata: deleted, status: admitted })],
      lost: true,
    },
    'r2 []',
  ],
  [
    'nobody is let in on a lost server',
    { volume: aVolume({ status: provisioned }), attachments: [anAttachment()], lost: true },
    'settled',
  ],
  [
    'a refused volume is placed anew',
    {
      volume: aVolume({
        status: { ...placed, backend: { placementEpoch: 1, bootID: 'b', refused: true } },
      }),
      servers: [
        aServer('s1', { agent: { pools: [{ ...pool, freeBytes: '1074500000' }] } }),
        aServer('s2', { agent: { pools: [{ ...pool, freeBytes: '1080000000' }] } }),
      ],
    },
    'place s2 2',
  ],
  ['a volume never placed is let go at once', { volume: aVolume({ metadata: deleted }) }, 'remove-finalizer'],
  [
    'a server that has applied more than we know is caught up with',
    {
      volume: aVolume({
        status: {
          ...granted(aGrant()),
          backend: { placementEpoch: 1, bootID: 'b', everProvisioned: true, appliedRevision: 9 },
        },
      }),
      attachments: [bound],
    },
    'r10 [1:h1:Granted]',
  ],
];

for (const [name, world, expected] of cases) {
  test(name, () => assert.is(summary(planVolume(aWorld(world))), expected));
}

test('a plan that is carried out is not made again', () => {
  const world = aWorld();
  const plan = planVolume(world);
  assert.is(plan.kind, 'write');
  const volume = aVolume({ status: plan.kind === 'write' ? plan.change : {} });
  assert.is(planVolume({ ...world, volume }).kind, 'settled');
});

test.run();
