import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { ConnectionMemory } from '../../../node-agent/connection/memory.ts';
import {
  type ConnectionWorld,
  type LeftoverWorld,
  planConnection,
  planLeftover,
} from '../../../node-agent/connection/plan.ts';
import type { DiskState } from '../../../node-agent/roles/vmm.ts';
import {
  admitted,
  aGrant,
  anAttachment,
  aVolume,
  deleted,
  exportedAt,
  granted,
  provisioned,
  VOLUME_ID,
} from '../../builders/objects.ts';

const test = suite('plan of a connection');

const vm = { name: 'vm-a', uuid: 'vm-uuid', state: 'Running' } as const;
const stopped = { ...vm, state: 'Stopped' } as const;
const disk = { instance: vm, disk: { device: 'vdb', volumeID: VOLUME_ID }, grant: 'this' } as const;
const inState = (state: DiskState) => ({ ...disk, disk: { ...disk.disk, state } });
const otherDisk = { ...disk, grant: 'other' } as const;
const memory: ConnectionMemory = {
  attachmentUID: 'uid-att',
  namespace: 'ns',
  name: 'att',
  volumeName: 'db',
  volumeID: VOLUME_ID,
  epoch: 1,
  instanceUUID: 'vm-uuid',
  released: 0,
};
const open = { ...admitted, export: exportedAt(1) };
const world = (change: Partial<ConnectionWorld>): ConnectionWorld => ({
  attachment: anAttachment({ status: open }),
  memory,
  instance: vm,
  disk: undefined,
  closing: false,
  residue: false,
  vmmLogsIn: false,
  growsOnline: false,
  resizing: false,
  bootID: 'boot-h1',
  ...change,
});

const summary = (change: Partial<ConnectionWorld>): string => {
  const plan = planConnection(world(change));
  if (plan.kind === 'report') {
    const soon = plan.soon === true ? ', soon' : '';
    const said = [plan.fact?.state, plan.fact?.problem?.reason].filter(Boolean).join(' ');
    return `report ${said || 'nothing'}${soon}`;
  }
  const { step } = plan;
  return step.kind === 'remember'
    ? `remember ${step.memory.epoch} released ${step.memory.released}`
    : step.kind;
};

const going = anAttachment({ metadata: deleted, status: open });
const GI = 1n << 30n;
const told = { epoch: 1, bootID: 'boot-h1', state: 'Attached', device: 'vdb' } as const;
const grown = {
  attachment: anAttachment({
    status: {
      ...admitted,
      export: { ...exportedAt(1), sizeBytes: String(2n * GI) },
      connection: { ...told, sizeBytes: String(GI) },
    },
  }),
  disk,
  growsOnline: true,
};

const cases: [name: string, change: Partial<ConnectionWorld>, expected: string][] = [
  ['a VM is shown that its disk has grown', { ...grown, diskBytes: GI }, 'resize'],
  ['not again and again', { ...grown, diskBytes: GI, resizing: true }, 'report Attached Resizing'],
  ['and when it shows it, that is told', { ...grown, diskBytes: 2n * GI }, 'report Attached'],
  [
    'one that cannot be shown keeps its size, and no more is made of it',
    { ...grown, growsOnline: false, diskBytes: GI },
    'report Attached',
  ],
  [
    'nor is anything to be shown of a target which is closed',
    {
      ...grown,
      attachment: anAttachment({ status: { ...admitted, export: { epoch: 1, bootID: 'b' } } }),
      diskBytes: GI,
    },
    'report Attached',
  ],
  [
    'a disk that is to go is not touched for that',
    { ...grown, attachment: { ...grown.attachment, metadata: { ...going.metadata } }, diskBytes: GI },
    'detach',
  ],
  ['nothing without a grant', { attachment: anAttachment() }, 'report nothing'],
  [
    'nothing without our finalizer',
    { attachment: anAttachment({ metadata: { finalizers: [] }, status: open }) },
    'report nothing',
  ],
  ['nothing before the target is open', { attachment: anAttachment({ status: admitted }) }, 'report nothing'],
  [
    'a target open for another epoch is not ours',
    { attachment: anAttachment({ status: { ...admitted, epoch: 2, export: exportedAt(1) } }) },
    'report nothing',
  ],
  ['what is about to be done is remembered', { memory: undefined }, 'remember 1 released 0'],
  [
    'a disk that its guest takes in a moment is waited for in silence',
    { disk: inState('connecting'), connectingMs: 1_999 },
    'report nothing, soon',
  ],
  [
    'one that takes longer is told about, and not as attached',
    { disk: inState('connecting'), connectingMs: 2_000 },
    'report Connecting',
  ],
  [
    'one that no guest takes is taken back, to be asked for anew',
    { disk: inState('connecting'), connectingMs: 60_000 },
    'cancel',
  ],
  [
    'nothing is released while the VM that has the disk may be one without a UUID',
    { attachment: going, instance: undefined, hidden: 'old (106)' },
    'report InstanceUnidentified',
  ],
  [
    'nor is it plugged in a second time',
    { memory: { ...memory, instanceUUID: 'other' }, hidden: 'old (106)' },
    'report InstanceUnidentified',
  ],
  ['a disk that is found is not hidden', { attachment: going, disk, hidden: 'old (106)' }, 'detach'],
  ['what the next start would bring is taken back', { disk: inState('pending') }, 'cancel'],
  ['a disk that is going goes all the way first', { disk: inState('closing') }, 'detach'],
  ['a stopped VM keeps no disk', { instance: stopped, disk: { ...disk, instance: stopped } }, 'detach'],
  [
    'what never came is given up like any other disk',
    { attachment: going, disk: inState('connecting'), connectingMs: 90_000 },
    'detach',
  ],
  [
    'also when only the saved configuration has it',
    { attachment: going, disk: inState('pending') },
    'detach',
  ],
  ['also which VM', { memory: { ...memory, instanceUUID: '' } }, 'remember 1 released 0'],
  ['then the disk is plugged in', {}, 'attach'],
  ['seen in the VM it is attached', { disk }, 'report Attached'],
  [
    'a disk that is there is kept when the memory was lost',
    { disk, memory: undefined },
    'remember 1 released 0',
  ],
  ['a disk of an earlier grant is dead and goes first', { disk: otherDisk }, 'detach'],
  [
    'a disk of another grant is not this one’s to take out',
    { attachment: going, disk: otherDisk },
    'remember 1 released 1',
  ],
  [
    'a disk whose grant nobody tells is taken for ours',
    { disk: { ...disk, grant: 'unknown' } },
    'report Attached',
  ],
  [
    'a disk that is gone is not called attached any longer',
    {
      attachment: anAttachment({
        status: { ...admitted, connection: { epoch: 1, bootID: 'boot-h1', state: 'Attached' } },
      }),
    },
    'report nothing',
  ],
  ['a stopped VM is waited for', { instance: stopped }, 'report InstanceNotRunning'],
  ['a missing VM is said', { instance: undefined }, 'report InstanceNotFound'],
  ['a disk in another VM is taken out', { disk: { ...disk, instance: { ...vm, uuid: 'other' } } }, 'detach'],
  ['a deletion asks the guest', { attachment: going, disk }, 'detach'],
  ['a release too', { attachment: anAttachment({ status: { ...open, release: true } }), disk }, 'detach'],
  [
    'and a grant that was cut',
    {
      attachment: anAttachment({
        status: { ...admitted, export: { epoch: 1, bootID: 'b', state: 'Withdrawn' } },
      }),
      disk,
    },
    'detach',
  ],
  [
    'nor is it while it goes out of the VM which had that name before',
    { memory: { ...memory, instanceUUID: 'other' }, closing: true },
    'report Detaching',
  ],
  [
    'out of the description is not out of the VMM',
    { attachment: going, closing: true, residue: true },
    'report Detaching',
  ],
  [
    'a VMM which logs in itself would stop the VM over a disk that was cut off',
    {
      attachment: anAttachment({
        status: { ...admitted, export: { epoch: 1, bootID: 'b', state: 'Withdrawn' } },
      }),
      disk,
      vmmLogsIn: true,
    },
    'report DiskCutOff',
  ],
  ['also when the disk is of an earlier grant', { disk: otherDisk, vmmLogsIn: true }, 'report DiskCutOff'],
  ['one whose grant stands is asked for', { attachment: going, disk, vmmLogsIn: true }, 'detach'],
  ['then the rest of the grant goes', { attachment: going, residue: true }, 'disconnect'],
  ['then that is remembered', { attachment: going }, 'remember 1 released 1'],
  ['and told', { attachment: going, memory: { ...memory, released: 1 } }, 'report Released'],
  ['a stopped VM holds no disk', { attachment: going, instance: stopped }, 'remember 1 released 1'],
  ['what was given up is never connected again', { memory: { ...memory, released: 1 } }, 'report Released'],
  [
    'a later grant is',
    {
      attachment: anAttachment({ status: { ...admitted, epoch: 2, export: exportedAt(2) } }),
      memory: { ...memory, released: 1 },
    },
    'remember 2 released 1',
  ],
  [
    'one deleted before it began is given up all the same',
    { attachment: anAttachment({ metadata: deleted, status: admitted }), memory: undefined },
    'remember 1 released 1',
  ],
];

for (const [name, change, expected] of cases) {
  test(name, () => assert.is(summary(change), expected));
}

const leftover = (change: Partial<LeftoverWorld>): string => {
  const plan = planLeftover({
    memory,
    attachment: undefined,
    volume: aVolume({ status: { ...provisioned, grants: { revision: 1, items: [] } } }),
    disk: undefined,
    residue: false,
    vmmLogsIn: false,
    ...change,
  });
  return plan.kind === 'keep' ? 'keep' : plan.step.kind;
};

const leftovers: [name: string, change: Partial<LeftoverWorld>, expected: string][] = [
  ['one that exists is not left over', { attachment: anAttachment(), disk }, 'keep'],
  ['its disk goes when the Volume proves that the grant is gone', { disk }, 'detach'],
  [
    'not by one that has not come to that grant: it is of another history, or of an earlier day',
    { disk, volume: aVolume({ status: provisioned }) },
    'keep',
  ],
  ['not where the VMM would stop the VM over it', { disk, vmmLogsIn: true }, 'keep'],
  ['not while the grant stands', { disk, volume: aVolume({ status: granted(aGrant()) }) }, 'keep'],
  [
    'one of that number for another Attachment is of another history',
    { disk, volume: aVolume({ status: granted(aGrant({ attachments: ['uid-other'] })) }) },
    'detach',
  ],
  ['not without the Volume: nothing proves that the target is shut', { disk, volume: undefined }, 'keep'],
  ['another Attachment’s disk is not left over', { disk: otherDisk }, 'forget'],
  [
    'what was given up is forgotten, whatever the VM holds now',
    { disk, memory: { ...memory, released: 1 } },
    'forget',
  ],
  ['not while it may be in a VM without a UUID', { residue: true, hidden: 'old (106)' }, 'keep'],
  ['what was given up is in none', { hidden: 'old (106)', memory: { ...memory, released: 1 } }, 'forget'],
  ['without a disk the rest goes', { residue: true }, 'disconnect'],
  ['and it is forgotten', {}, 'forget'],
];

for (const [name, change, expected] of leftovers) {
  test(`left over: ${name}`, () => assert.is(leftover(change), expected));
}

test('the size told is the one seen in the VM', () => {
  const sizeIn = (change: Partial<ConnectionWorld>) => {
    const plan = planConnection(world({ ...grown, ...change }));
    return plan.kind === 'report' ? [plan.fact?.sizeBytes, plan.fact?.growsOnline] : plan.step.kind;
  };
  assert.equal(sizeIn({ diskBytes: GI, resizing: true }), [String(GI), true]);
  assert.equal(sizeIn({ diskBytes: 2n * GI }), [String(2n * GI), true]);
  assert.equal(sizeIn({ diskBytes: GI, growsOnline: false }), [String(GI), undefined]);
  // Nothing tells: its size was compared when it was plugged in.
  assert.equal(sizeIn({ growsOnline: false }), [String(2n * GI), undefined]);
});

test('the key of a grant stays with it, also in another VM, and no longer', () => {
  const keyOf = (change: Partial<ConnectionWorld>): string | undefined => {
    const plan = planConnection(world(change));
    assert.ok(plan.kind === 'take' && plan.step.kind === 'remember');
    return plan.step.memory.key;
  };
  assert.is(keyOf({ memory: { ...memory, key: 'one', instanceUUID: '' } }), 'one');
  assert.is(keyOf({ memory: { ...memory, key: 'one', epoch: 0 } }), undefined);
  assert.is(
    keyOf({ memory: undefined, formerKey: 'one' }),
    'one',
    'as with an Attachment whose object is lost',
  );
});

test.run();
