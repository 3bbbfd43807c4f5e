import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Attachment } from '../../api/attachment.ts';
import type { Claim } from '../../api/conditions.ts';
import type { PoolFact } from '../../api/hosts.ts';
import type { Volume } from '../../api/volume.ts';
import { type AttachmentScene, attachmentClaims } from '../../controller/attachment/status.ts';
import { fencedBootID, hostClaims } from '../../controller/hosts/status.ts';
import type { VolumeWorld } from '../../controller/volume/plan.ts';
import { volumeClaims } from '../../controller/volume/status.ts';
import {
  admitted,
  aGrant,
  aHypervisor,
  anAttachment,
  aServer,
  aVolume,
  aWorld,
  deleted,
  exportedAt,
  granted,
  placed,
  provisioned,
} from '../builders/objects.ts';

const test = suite('what a person reads');

const ready = (claims: readonly Claim[]): string => {
  const find = (type: string) => claims.find((claim) => claim.type === type);
  const stalled = find('Stalled')?.status === 'True' ? ' Stalled' : '';
  assert.is(find('Stalled')?.status === 'True' && find('Reconciling')?.status === 'True', false);
  for (const { type, status, message } of claims) {
    // What is over, and that nothing is stalled, needs no words.
    const needsNone = ['Reconciling', 'Stalled'].includes(type) && status === 'False';
    assert.ok(needsNone || message !== '', `${type} says nothing`);
  }
  return `${find('Ready')?.status} ${find('Ready')?.reason}${stalled}`;
};

const problem = (reason: string) => ({
  ...provisioned,
  backend: {
    placementEpoch: 1,
    bootID: 'boot-s1',
    everProvisioned: true,
    problem: { reason, message: 'why' },
  },
});

const volumes: [name: string, world: Partial<VolumeWorld>, expected: string][] = [
  ['not placed', { servers: [] }, 'False NoPool'],
  ['being made', { volume: aVolume({ status: placed }) }, 'False Provisioning'],
  ['complete', { volume: aVolume({ status: provisioned }) }, 'True Provisioned'],
  ['data gone', { volume: aVolume({ status: problem('DataMissing') }) }, 'False DataMissing Stalled'],
  ['a full pool needs no new spec', { volume: aVolume({ status: problem('NoSpace') }) }, 'False NoSpace'],
  [
    'server silent',
    { volume: aVolume({ status: provisioned }), servers: [aServer('s1', { freshness: 'stale' })] },
    'Unknown HostSilent',
  ],
  [
    'server not listened to for long enough',
    { volume: aVolume({ status: provisioned }), servers: [aServer('s1', { freshness: 'unknown' })] },
    'Unknown WaitingForHeartbeat',
  ],
  [
    'server in another boot',
    { volume: aVolume({ status: provisioned }), servers: [aServer('s1', { agent: { bootID: 'new' } })] },
    'Unknown HostRebooted',
  ],
  [
    'in use while deleted',
    {
      volume: aVolume({ metadata: deleted, status: granted(aGrant()) }),
      attachments: [anAttachment({ status: admitted })],
    },
    'False InUse',
  ],
  [
    'being removed',
    { volume: aVolume({ metadata: deleted, status: { ...provisioned, order: 'Remove' } }) },
    'False Removing',
  ],
  [
    'being put aside',
    { volume: aVolume({ metadata: deleted, status: { ...provisioned, order: 'Retain' } }) },
    'False Retaining',
  ],
  [
    'being adopted',
    {
      volume: aVolume({
        status: {
          ...placed,
          source: { kind: 'Retained', name: 'ns/old', id: 'x', server: 's1', pool: 'main', sizeBytes: '1' },
        },
      }),
    },
    'False Adopting',
  ],
];

for (const [name, world, expected] of volumes) {
  test(`Volume: ${name}`, () => assert.is(ready(volumeClaims(aWorld(world))), expected));
}

type Can = NonNullable<PoolFact['can']>;

const serverThat = (...can: Can) =>
  aServer('s1', {
    agent: {
      profiles: [{ role: 'target', name: 'tgt', hash: '0' }],
      pools: [
        {
          name: 'main',
          profile: 'file',
          totalBytes: '100000000000',
          freeBytes: '50000000000',
          extentBytes: '1',
          can,
        },
      ],
    },
  });
const able = [serverThat('GrowInUse', 'GrowOnline')];
const follows = { growsOnline: true } as const;
const inUse = aVolume({ spec: { size: '2Gi' }, status: granted(aGrant()) });
const GROWN = String(2n ** 31n);
const grownOnServer = aVolume({
  spec: { size: '2Gi' },
  status: {
    ...granted(aGrant()),
    backend: { placementEpoch: 1, bootID: 'boot-s1', everProvisioned: true, sizeBytes: GROWN },
  },
});
/** Growth that its server cannot carry out. */
const held = (reason: string) =>
  aVolume({
    spec: { size: '2Gi' },
    status: {
      ...granted(aGrant()),
      backend: {
        placementEpoch: 1,
        bootID: 'boot-s1',
        everProvisioned: true,
        sizeBytes: '1073741824',
        growth: { reason, message: 'why' },
      },
    },
  });
const plugged = (change: object, exported = '1073741824', spec: Partial<Attachment['spec']> = {}) =>
  anAttachment({
    spec,
    status: {
      ...admitted,
      export: { ...exportedAt(1), sizeBytes: exported },
      connection: {
        epoch: 1,
        bootID: 'boot-h1',
        state: 'Attached',
        device: 'vdb',
        sizeBytes: '1073741824',
        ...change,
      },
    },
  });
const pinned = (status: Volume['status']) =>
  aVolume({
    spec: { size: '2Gi' },
    status: { ...status, pins: [{ uid: 'u', kind: 'Snapshot' as const, name: 'nightly' }] },
  });

const growths: [name: string, world: Partial<VolumeWorld>, expected: RegExp][] = [
  ['no word when there is nothing to grow', { volume: aVolume({ status: provisioned }) }, /^nothing$/],
  [
    'a free volume',
    { volume: aVolume({ spec: { size: '2Gi' }, status: provisioned }) },
    /^Resizing: growing to 2Gi$/,
  ],
  [
    'one in use waits, and the hop that cannot is named: the target',
    { volume: inUse, servers: [serverThat('GrowInUse')], attachments: [plugged(follows)] },
    /^WaitingForDetach: grows to 2Gi when it is detached: target tgt of s1 keeps the size of what is on line; delete Attachment att to let it grow$/,
  ],
  [
    'or the pool',
    { volume: inUse, servers: [serverThat('CopyOnWrite')], attachments: [plugged(follows)] },
    /^WaitingForDetach: .*pool main of s1 keeps the size of what is in use; delete Attachment att/,
  ],
  [
    'or the hypervisor',
    { volume: inUse, servers: able, attachments: [plugged({})] },
    /^WaitingForDetach: .*h1 cannot show a running VM that a disk of it has grown; delete Attachment att/,
  ],
  [
    'which may show it of others, but not of one that is only read',
    { volume: inUse, servers: able, attachments: [plugged({}, '1073741824', { readOnly: true })] },
    /^WaitingForDetach: .*h1 cannot show a running VM that a read-only disk/,
  ],
  [
    'a server that does not tell is no hop that can',
    { volume: inUse, servers: [aServer('s1', { agent: { pools: [] } })], attachments: [plugged(follows)] },
    /^WaitingForDetach: .*s1 does not tell what its pool main can/,
  ],
  [
    'where all can it grows',
    { volume: inUse, servers: able, attachments: [plugged(follows)] },
    /^Resizing: growing to 2Gi$/,
  ],
  [
    'without room the server says so',
    { volume: held('NoSpace'), servers: able, attachments: [plugged(follows)] },
    /^NoSpace: growing to 2Gi on s1: why$/,
  ],
  [
    'and whatever else keeps the data from growing',
    { volume: held('CommandFailed'), servers: able, attachments: [plugged(follows)] },
    /^Resizing: growing to 2Gi on s1: why$/,
  ],
  [
    'while another server copies it, it stays as it is',
    {
      volume: aVolume({
        spec: { size: '2Gi' },
        status: {
          ...provisioned,
          pins: [
            {
              uid: 'u',
              kind: 'Volume',
              name: 'copy',
              reader: { server: 's2', initiator: 'iqn.x', epoch: 1 },
            },
          ],
        },
      }),
      servers: able,
    },
    /^Resizing: grows to 2Gi when Volume copy is made/,
  ],
  [
    'snapshots may stand in the way',
    { volume: pinned(provisioned), servers: [serverThat('SnapshotsHoldSize')] },
    /^SnapshotsExist: .*Snapshot nightly/,
  ],
  ['or not', { volume: pinned(provisioned), servers: [serverThat('SnapshotsOutlive')] }, /^Resizing/],
  [
    'the target is behind the server',
    { volume: grownOnServer, attachments: [plugged(follows)] },
    /^Resizing: the target on s1 shows 1Gi of 2Gi$/,
  ],
  [
    'the VM is behind the target, and says why',
    {
      volume: grownOnServer,
      attachments: [plugged({ growsOnline: true, problem: { reason: 'Resizing', message: 'why' } }, GROWN)],
    },
    /^Resizing: instance vm-a on h1 shows 1Gi of 2Gi: why$/,
  ],
  [
    'a VM that lost the ability keeps its size until it is plugged in again',
    { volume: grownOnServer, attachments: [plugged({}, GROWN)] },
    /^WaitingForDetach: instance vm-a on h1 shows 1Gi of 2Gi: h1 cannot show .*; delete Attachment att/,
  ],
  [
    'one that is just being plugged in is not late',
    { volume: grownOnServer, attachments: [plugged({ ...follows, state: undefined }, GROWN)] },
    /^nothing$/,
  ],
  [
    'and when it is there, all is said',
    { volume: grownOnServer, attachments: [plugged({ growsOnline: true, sizeBytes: GROWN }, GROWN)] },
    /^nothing$/,
  ],
];

test('Volume, growing: what keeps it from that leaves it ready', () => {
  const world = { volume: held('NoSpace'), servers: able, attachments: [plugged(follows)] };
  assert.is(ready(volumeClaims(aWorld(world))), 'True Provisioned');
});

for (const [name, world, expected] of growths) {
  test(`Volume, growing: ${name}`, () => {
    const claims = volumeClaims(aWorld(world));
    const find = (type: string) => claims.find((claim) => claim.type === type);
    const [resized, reconciling] = [find('Resized'), find('Reconciling')];
    assert.match(resized === undefined ? 'nothing' : `${resized.reason}: ${resized.message}`, expected);
    if (find('Ready')?.status === 'True') {
      // Whoever waits for what was asked for, by kstatus, waits for the size too.
      assert.is(reconciling?.status, resized === undefined ? 'False' : 'True');
      assert.is(reconciling?.reason, resized?.reason ?? 'Settled');
    }
  });
}

const attached: Attachment['status'] = {
  ...admitted,
  export: exportedAt(1),
  connection: { epoch: 1, bootID: 'boot-h1', state: 'Attached', device: 'vdb' },
};
const inVM = aVolume({ status: granted(aGrant()) });
const scene = (change: Partial<AttachmentScene>): AttachmentScene => ({
  attachment: anAttachment({ status: attached }),
  volume: inVM,
  hypervisors: [aHypervisor()],
  servers: [aServer()],
  siblings: [],
  lost: false,
  ...change,
});
const other = aVolume({ status: granted(aGrant({ attachments: ['uid-other'] })) });

const attachments: [name: string, change: Partial<AttachmentScene>, expected: string][] = [
  ['attached', {}, 'True Attached'],
  ['no Volume yet', { attachment: anAttachment(), volume: undefined }, 'False VolumeNotFound'],
  [
    'Volume not ready',
    { attachment: anAttachment(), volume: aVolume({ status: placed }) },
    'False VolumeNotReady',
  ],
  [
    'Volume going',
    { attachment: anAttachment(), volume: aVolume({ metadata: deleted, status: provisioned }) },
    'False VolumeDeleting',
  ],
  [
    'Volume made anew',
    {
      attachment: anAttachment({ status: { volumeUID: 'uid-old' } }),
      volume: aVolume({ status: provisioned }),
    },
    'False VolumeReplaced Stalled',
  ],
  ['held by another', { attachment: anAttachment(), volume: other }, 'False VolumeInUse'],
  [
    'no such VM',
    {
      attachment: anAttachment({ spec: { instance: { name: 'x' } } }),
      volume: aVolume({ status: provisioned }),
    },
    'False InstanceNotFound',
  ],
  ['target being opened', { attachment: anAttachment({ status: admitted }) }, 'False Exporting'],
  [
    'disk being plugged in',
    { attachment: anAttachment({ status: { ...admitted, export: exportedAt(1) } }) },
    'False Attaching',
  ],
  [
    'device taken',
    {
      attachment: anAttachment({
        status: {
          ...admitted,
          export: exportedAt(1),
          connection: { epoch: 1, bootID: 'boot-h1', problem: { reason: 'DeviceInUse', message: '' } },
        },
      }),
    },
    'False DeviceInUse Stalled',
  ],
  [
    'VM stopped',
    {
      attachment: anAttachment({
        status: {
          ...admitted,
          export: exportedAt(1),
          connection: { epoch: 1, bootID: 'boot-h1', problem: { reason: 'InstanceNotRunning', message: '' } },
        },
      }),
    },
    'False InstanceNotRunning',
  ],
  ['hypervisor silent', { hypervisors: [aHypervisor('h1', { freshness: 'stale' })] }, 'Unknown HostSilent'],
  [
    'hypervisor rebooted',
    { hypervisors: [aHypervisor('h1', { agent: { bootID: 'new' } })] },
    'Unknown HostRebooted',
  ],
  ['server silent', { servers: [aServer('s1', { freshness: 'stale' })] }, 'Unknown HostSilent'],
  [
    'server lost',
    { servers: [aServer('s1', { freshness: 'stale' })], lost: true },
    'False ServerLost Stalled',
  ],
  [
    'facts of an earlier grant say nothing',
    { volume: aVolume({ status: granted(aGrant({ epoch: 2 })) }) },
    'False Exporting',
  ],
  [
    'being detached',
    { attachment: anAttachment({ metadata: deleted, status: attached }) },
    'False Detaching',
  ],
  [
    'held up by a silent hypervisor',
    {
      attachment: anAttachment({ metadata: deleted, status: attached }),
      hypervisors: [aHypervisor('h1', { freshness: 'stale' })],
    },
    'False HypervisorSilent',
  ],
  [
    'held up by the guest',
    {
      attachment: anAttachment({
        metadata: deleted,
        status: {
          ...attached,
          connection: {
            epoch: 1,
            bootID: 'boot-h1',
            state: 'Attached',
            problem: { reason: 'DetachBlockedByGuest', message: '' },
          },
        },
      }),
    },
    'False DetachBlockedByGuest',
  ],
];

for (const [name, change, expected] of attachments) {
  test(`Attachment: ${name}`, () => assert.is(ready(attachmentClaims(scene(change))), expected));
}

const messageOf = (claims: readonly Claim[]): string =>
  claims.find(({ type }) => type === 'Ready')?.message ?? '';

test('who is waited for and does not answer is told of, with what to do', () => {
  const silent = { servers: [aServer('s1', { freshness: 'stale' })] };
  const going = aVolume({ metadata: deleted, status: { ...provisioned, order: 'Remove' } });
  assert.match(
    messageOf(volumeClaims(aWorld({ volume: going }))),
    /^waiting until the data is removed by s1$/,
  );
  assert.match(
    messageOf(volumeClaims(aWorld({ volume: going, ...silent }))),
    /removed by s1, which does not answer; start its agent.*spec\.lost/,
  );
  const attachment = anAttachment({
    metadata: deleted,
    status: { ...attached, connection: { epoch: 1, bootID: 'boot-h1', state: 'Released' } },
  });
  assert.match(
    messageOf(attachmentClaims(scene({ attachment, ...silent }))),
    /target is closed by s1, which does not answer; start its agent/,
  );
});

test('what a host says stands behind its name', () => {
  const volume = aVolume({ status: problem('PoolMissing') });
  assert.is(messageOf(volumeClaims(aWorld({ volume }))), 's1: why');
});

test('a Volume that finds no pool says what stands against each server', () => {
  const servers = [
    aServer('s1', { freshness: 'stale' }),
    aServer('s2', { spec: { cordoned: true } }),
    aServer('s3', { agent: { pools: [] } }),
    aServer('s4', {
      agent: {
        pools: [{ name: 'main', profile: 'file', problem: { reason: 'PoolMissing', message: 'gone' } }],
      },
    }),
  ];
  assert.is(
    messageOf(volumeClaims(aWorld({ servers }))),
    'no pool of class standard can be used: s1 does not answer, s2 is cordoned, s3 has no such pool, s4 says gone; start an agent, uncordon a server, or add a pool',
  );
});

test('Attachment: a cut shows as Fenced', () => {
  const volume = aVolume({ status: granted(aGrant({ state: 'Fencing' })) });
  const during = attachmentClaims(scene({ volume })).find(({ type }) => type === 'Fenced');
  assert.is(`${during?.status} ${during?.reason}`, 'False Fencing');
  const attachment = anAttachment({
    status: { ...attached, export: { epoch: 1, bootID: 'b', state: 'Withdrawn' } },
  });
  const after = attachmentClaims(scene({ volume, attachment })).find(({ type }) => type === 'Fenced');
  assert.is(`${after?.status} ${after?.reason}`, 'True Fenced');
});

test('hosts: heard, silent, unfit', () => {
  const of = (view: Parameters<typeof hostClaims>[0]) =>
    hostClaims(view).map(({ type, status, reason }) => `${type} ${status} ${reason}`);
  assert.equal(of(aHypervisor()), ['Ready True Heard', 'HostSafe True Safe']);
  assert.equal(of(aHypervisor('h1', { freshness: 'stale' })), [
    'Ready Unknown HostSilent',
    'HostSafe True Safe',
  ]);
  const unfit = aHypervisor('h1', { agent: { problems: [{ reason: 'VmmUnavailable', message: '' }] } });
  assert.equal(of(unfit), ['Ready False VmmUnavailable', 'HostSafe False VmmUnavailable']);
  const lost = aServer('s1', { spec: { lost: true } });
  assert.equal(of(lost), ['Ready False LostRefused', 'HostSafe False LostRefused']);
  assert.equal(of({ ...lost, freshness: 'stale' }), ['Ready False Lost', 'HostSafe True Safe']);
});

test('hosts: a fence is remembered until another boot or no disk', () => {
  const host = (spec: object, agent: object, fenced?: string) => {
    const made = aHypervisor('h1', { spec, agent }).host;
    return { ...made, status: { ...made.status, ...(fenced === undefined ? {} : { fencedBootID: fenced }) } };
  };
  assert.is(fencedBootID(host({ fenced: true }, { disks: 1 })), 'boot-h1');
  assert.is(fencedBootID(host({}, { disks: 1 }, 'boot-h1')), 'boot-h1');
  assert.is(fencedBootID(host({}, { disks: 0 }, 'boot-h1')), undefined);
  assert.is(fencedBootID(host({}, { disks: 1, bootID: 'new' }, 'boot-h1')), undefined);
});

test.run();
