import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { copyInitiatorName, initiatorName } from '../../../api/names.ts';
import type { Grant } from '../../../api/volume.ts';
import { type ExportWorld, planExport } from '../../../node-agent/export/plan.ts';
import type { Export } from '../../../node-agent/roles/target.ts';
import { emptyServerMemory, type ServerMemory } from '../../../node-agent/volume/memory.ts';
import {
  admitted,
  aGrant,
  anAttachment,
  aVolume,
  exportedAt,
  granted,
  provisioned,
  VOLUME_ID,
} from '../../builders/objects.ts';

const test = suite('plan of a target');

const H1 = initiatorName('h1');
const H2 = initiatorName('h2');
const memory = (items: readonly Grant[], change: Partial<ServerMemory> = {}): ServerMemory => ({
  ...emptyServerMemory(VOLUME_ID, 'uid-db'),
  everProvisioned: true,
  revision: Math.max(0, ...items.map(({ epoch }) => epoch)),
  items,
  ...change,
});
const target = (change: Partial<Export> = {}): Export => ({
  volumeID: VOLUME_ID,
  iqn: exportedAt(1).iqn ?? '',
  lun: 1,
  ready: true,
  serial: VOLUME_ID,
  readOnly: false,
  allowed: [],
  chapUsers: [],
  sessions: [],
  ...change,
});
const backend = { placementEpoch: 1, bootID: 'boot-s1', everProvisioned: true, sizeBytes: '1073741824' };
const released = { epoch: 1, bootID: 'boot-h1', state: 'Released' } as const;
const world = (change: Partial<ExportWorld>): ExportWorld => ({
  volumeID: VOLUME_ID,
  volume: aVolume({ status: granted(aGrant()) }),
  attachments: [anAttachment({ status: admitted })],
  memory: memory([aGrant()]),
  readers: [],
  backing: { id: VOLUME_ID, state: 'complete', sizeBytes: 2n ** 30n, path: '/p' },
  target: undefined,
  readOnlyPerInitiator: false,
  portals: ['192.0.2.1:3260'],
  bootID: 'boot-s1',
  ...change,
});

const summary = (change: Partial<ExportWorld>): string => {
  const plan = planExport(world(change));
  if (plan.kind !== 'take') {
    return plan.kind === 'wait' ? `wait ${plan.reason}` : plan.kind;
  }
  const { step } = plan;
  switch (step.kind) {
    case 'remember':
      return `remember r${step.memory.revision} withdrawn [${step.memory.withdrawn}]`;
    case 'report':
      return `report ${step.fact.state}@${step.fact.epoch}`;
    case 'report-revision':
      return `report r${step.revision}`;
    case 'allow':
      return `allow ${step.grant.epoch}`;
    case 'open':
      return `open ${step.readOnly ? 'ro' : 'rw'}`;
    case 'allow-reader':
      return `let ${step.reader.server} read`;
    case 'deny':
    case 'cut':
      return `${step.kind} ${step.initiator.split('.').at(-1)}`;
    default:
      return step.kind;
  }
};

const gaveUp = [anAttachment({ status: { ...admitted, connection: released } })];
const fencing = aGrant({ state: 'Fencing' });
const open = target({ allowed: [H1] });
const told = [anAttachment({ status: { ...admitted, export: exportedAt(1) } })];
const nobody = aVolume({ status: { ...provisioned, grants: { revision: 2, items: [] } } });

const B = copyInitiatorName('vol00000000000000002', 1);
const C = copyInitiatorName('vol00000000000000003', 1);
const reading = [
  { server: 's2', initiator: B, epoch: 1 },
  { server: 's3', initiator: C, epoch: 1 },
];
const copied: Partial<ExportWorld> = {
  volume: aVolume({ status: provisioned }),
  attachments: [],
  memory: memory([]),
  readers: reading,
};

const cases: [name: string, change: Partial<ExportWorld>, expected: string][] = [
  ['a target is opened to other servers read-only', copied, 'open ro'],
  ['each is let in', { ...copied, target: target({ readOnly: true }) }, 'let s2 read'],
  ['beside each other', { ...copied, target: target({ readOnly: true, allowed: [B] }) }, 'let s3 read'],
  ['until all are', { ...copied, target: target({ readOnly: true, allowed: [B, C] }) }, 'settled'],
  ['one that may be written to is made anew first', { ...copied, target: target() }, 'open ro'],
  [
    'but not where the target decides that for each',
    { ...copied, target: target(), readOnlyPerInitiator: true },
    'let s2 read',
  ],
  ['a snapshot is read like a volume', { ...copied, volume: undefined }, 'open ro'],
  [
    'a reader whose pin is gone is shut out',
    {
      ...copied,
      readers: reading.slice(1),
      target: target({ readOnly: true, allowed: [B, C], sessions: [B] }),
    },
    'deny 1',
  ],
  [
    'at once',
    { ...copied, readers: reading.slice(1), target: target({ readOnly: true, allowed: [C], sessions: [B] }) },
    'cut 1',
  ],
  ['and nobody is left', { ...copied, readers: [], target: target({ readOnly: true }) }, 'close'],
  [
    'nobody reads beside a grant',
    { readers: reading, target: target({ readOnly: true, allowed: [B] }) },
    'deny 1',
  ],
  [
    'nor before what a grant let in is out',
    { ...copied, memory: memory([aGrant()]), attachments: gaveUp, target: target({ sessions: [H1] }) },
    'cut h1',
  ],
  ['what readers used is made anew for a grant', { target: target({ readOnly: true }) }, 'open rw'],
  [
    'but not with an account that a reader had',
    { target: target({ readOnly: true, chapUsers: ['vbs1'] }) },
    'close',
  ],
  [
    'nor do readers come to one that a grant had',
    { ...copied, target: target({ chapUsers: ['vbs1'] }) },
    'close',
  ],
  [
    'the accounts of those who are in are theirs',
    { target: target({ allowed: [H1], chapUsers: ['vbs1'] }) },
    'report Exported@1',
  ],
  ['readers wait for the data', { ...copied, backing: undefined }, 'settled'],
  [
    'what was never granted is left alone',
    { volume: aVolume({ status: provisioned }), memory: undefined, target: target({ allowed: [H2] }) },
    'settled',
  ],
  ['a new revision is remembered before anything', { memory: undefined }, 'remember r1 withdrawn []'],
  [
    'of a lower revision than the highest applied the controller is told before anything else',
    { volume: aVolume({ status: granted(aGrant()) }), memory: memory([], { revision: 5 }), target: open },
    'report r5',
  ],
  [
    'and it is not believed',
    {
      volume: aVolume({ status: { ...granted(aGrant()), backend: { ...backend, appliedRevision: 5 } } }),
      memory: memory([], { revision: 5 }),
      target: open,
    },
    'deny h1',
  ],
  [
    'the same revision with other grants is of another history, and neither is taken up',
    { memory: memory([aGrant({ hypervisor: 'h2', initiator: H2 })]), target: target({ allowed: [H2] }) },
    'remember r2 withdrawn []',
  ],
  ['the target is opened', {}, 'open rw'],
  ['a half-made target is finished', { target: target({ ready: false }) }, 'open rw'],
  ['without data nothing is exported', { backing: undefined }, 'wait DataMissing'],
  ['the initiator is let in last', { target: target() }, 'allow 1'],
  ['never beside another who is allowed', { target: target({ allowed: [H2] }) }, 'deny h2'],
  ['nor beside another who is connected', { target: target({ sessions: [H2] }) }, 'cut h2'],
  ['then it is told', { target: open }, 'report Exported@1'],
  ['once', { target: open, attachments: told }, 'settled'],
  [
    'again after a reboot of the server',
    { target: open, attachments: told, bootID: 'boot-2' },
    'report Exported@1',
  ],
  ['not to an Attachment that was not admitted yet', { target: open, attachments: [] }, 'settled'],
  ['a target lost with its daemon is rebuilt', { attachments: told }, 'open rw'],
  [
    'what the hypervisor gave up is closed: access first',
    { target: target({ allowed: [H1], sessions: [H1] }), attachments: gaveUp },
    'deny h1',
  ],
  ['then what is left of its session', { target: target({ sessions: [H1] }), attachments: gaveUp }, 'cut h1'],
  ['then the target', { target: target(), attachments: gaveUp }, 'close'],
  ['then that is remembered', { attachments: gaveUp }, 'remember r1 withdrawn [1]'],
  ['and told', { attachments: gaveUp, memory: memory([aGrant()], { withdrawn: [1] }) }, 'report Withdrawn@1'],
  [
    'once',
    {
      attachments: [
        anAttachment({
          status: {
            ...admitted,
            connection: released,
            export: { epoch: 1, bootID: 'an-earlier-boot', state: 'Withdrawn' },
          },
        }),
      ],
      memory: memory([aGrant()], { withdrawn: [1] }),
    },
    'settled',
  ],
  ['a missing Attachment gives nothing up', { target: open, attachments: [] }, 'settled'],
  [
    'a deleted Attachment gives nothing up',
    {
      target: open,
      attachments: [
        anAttachment({
          metadata: { deletionTimestamp: 'T' },
          status: { ...admitted, export: exportedAt(1) },
        }),
      ],
    },
    'settled',
  ],
  [
    'a release of another epoch gives nothing up',
    {
      target: open,
      volume: aVolume({ status: granted(aGrant({ epoch: 2 })) }),
      memory: memory([aGrant({ epoch: 2 })]),
      attachments: [
        anAttachment({ status: { ...admitted, epoch: 2, export: exportedAt(2), connection: released } }),
      ],
    },
    'settled',
  ],
  [
    'a cut needs no consent',
    {
      volume: aVolume({ status: granted(fencing) }),
      memory: memory([fencing]),
      target: target({ allowed: [H1], sessions: [H1] }),
    },
    'deny h1',
  ],
  [
    'a cut is told to the controller too',
    {
      volume: aVolume({ status: granted(fencing) }),
      memory: memory([fencing], { withdrawn: [1] }),
      attachments: [],
    },
    'report r1',
  ],
  [
    'what was withdrawn is never let in again',
    { memory: memory([aGrant()], { withdrawn: [1] }), attachments: [], target: target() },
    'close',
  ],
  [
    'no grant, no target',
    { volume: nobody, memory: memory([], { revision: 2 }), target: target(), attachments: [] },
    'close',
  ],
  [
    'a volume that left the watch keeps its target',
    { volume: undefined, target: open, attachments: told },
    'settled',
  ],
  [
    'a controller that knows less is told',
    { memory: memory([], { revision: 9 }), attachments: [] },
    'report r9',
  ],
];

for (const [name, change, expected] of cases) {
  test(name, () => assert.is(summary(change), expected));
}

test('the keys of grants go with them', () => {
  const keys = [
    { epoch: 1, key: 'one' },
    { epoch: 2, key: 'two' },
  ];
  const next = aGrant({ epoch: 2 });
  const volume = aVolume({ status: { ...granted(next), grants: { revision: 2, items: [next] } } });
  const plan = planExport(world({ volume, memory: memory([aGrant()], { keys }) }));
  assert.ok(plan.kind === 'take' && plan.step.kind === 'remember');
  assert.equal(plan.step.memory.keys, [{ epoch: 2, key: 'two' }]);
});

test.run();
