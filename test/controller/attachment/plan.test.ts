import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { type AttachmentWorld, mayForget, planAttachment } from '../../../controller/attachment/plan.ts';
import {
  admitted,
  aGrant,
  aHypervisor,
  anAttachment,
  aVolume,
  deleted,
  granted,
  provisioned,
} from '../../builders/objects.ts';

const test = suite('plan of an Attachment');

const world = (change: Partial<AttachmentWorld>): AttachmentWorld => ({
  attachment: anAttachment(),
  volume: aVolume({ status: provisioned }),
  hypervisors: [aHypervisor()],
  lost: false,
  ...change,
});
const summary = (change: Partial<AttachmentWorld>): string => {
  const plan = planAttachment(world(change));
  return plan.kind === 'write' ? JSON.stringify(plan.change) : plan.kind;
};
const held = aVolume({ status: granted(aGrant()) });
const moved = [
  aHypervisor('h1', { agent: { instances: [] } }),
  aHypervisor('h2', { agent: { instances: [{ name: 'vm-a', uuid: 'vm-uuid', state: 'Running' }] } }),
];
const withdrawn = { epoch: 1, bootID: 'b', state: 'Withdrawn' } as const;

const cases: [name: string, change: Partial<AttachmentWorld>, expected: string][] = [
  [
    'the finalizer is the first write',
    { attachment: anAttachment({ metadata: { finalizers: [] } }) },
    'add-finalizer',
  ],
  [
    'nothing is begun on one that is going',
    { attachment: anAttachment({ metadata: { finalizers: [], ...deleted } }) },
    'settled',
  ],
  ['it may come before its Volume', { volume: undefined }, 'settled'],
  [
    'a grant is copied',
    { volume: held },
    JSON.stringify({
      volumeUID: 'uid-db',
      volumeID: admitted.volumeID,
      server: 's1',
      hypervisor: 'h1',
      epoch: 1,
      instanceUID: 'vm-uuid',
    }),
  ],
  ['once', { volume: held, attachment: anAttachment({ status: admitted }) }, 'settled'],
  [
    'a VM that moved is followed',
    { volume: held, attachment: anAttachment({ status: admitted }), hypervisors: moved },
    '{"release":true}',
  ],
  [
    'not when the hypervisor was named',
    {
      volume: held,
      attachment: anAttachment({ spec: { hypervisor: 'h1' }, status: admitted }),
      hypervisors: moved,
    },
    'settled',
  ],
  [
    'not while the old host is silent: it may still run there',
    {
      volume: held,
      attachment: anAttachment({ status: admitted }),
      hypervisors: [aHypervisor('h1', { freshness: 'stale', agent: { instances: [] } }), ...moved.slice(1)],
    },
    'settled',
  ],
  ...[{ problems: [{ reason: 'VmmUnavailable', message: '' }] }, { instances: undefined }].map(
    (agent): [string, Partial<AttachmentWorld>, string] => [
      `not while the old host cannot see its VMs (${Object.keys(agent)})`,
      {
        volume: held,
        attachment: anAttachment({ status: admitted }),
        hypervisors: [aHypervisor('h1', { agent: { instances: [], ...agent } as never }), ...moved.slice(1)],
      },
      'settled',
    ],
  ),
  ['one that waits goes at once', { attachment: anAttachment({ metadata: deleted }) }, 'remove-finalizer'],
  [
    'one with a grant stays',
    { volume: held, attachment: anAttachment({ metadata: deleted, status: admitted }) },
    'settled',
  ],
  [
    'also when it was granted and never told',
    { volume: held, attachment: anAttachment({ metadata: deleted }) },
    JSON.stringify({
      volumeUID: 'uid-db',
      volumeID: admitted.volumeID,
      server: 's1',
      hypervisor: 'h1',
      epoch: 1,
      instanceUID: 'vm-uuid',
    }),
  ],
  [
    'one whose grant was dropped goes',
    { attachment: anAttachment({ metadata: deleted, status: { ...admitted, export: withdrawn } }) },
    'remove-finalizer',
  ],
  [
    'a vanished Volume proves nothing',
    { volume: undefined, attachment: anAttachment({ metadata: deleted, status: admitted }) },
    'settled',
  ],
  [
    'one whose grant was dropped waits for its server',
    { attachment: anAttachment({ metadata: deleted, status: admitted }) },
    'settled',
  ],
  [
    'and goes without it when that is lost',
    { attachment: anAttachment({ metadata: deleted, status: admitted }), lost: true },
    'remove-finalizer',
  ],
  [
    'not while there is a grant',
    { volume: held, attachment: anAttachment({ metadata: deleted, status: admitted }), lost: true },
    'settled',
  ],
  [
    'where its Volume has vanished, too, the hypervisor has to let go first',
    { volume: undefined, attachment: anAttachment({ metadata: deleted, status: admitted }), lost: true },
    'settled',
  ],
  [
    'and then it goes',
    {
      volume: undefined,
      attachment: anAttachment({
        metadata: deleted,
        status: { ...admitted, connection: { epoch: 1, bootID: 'b', state: 'Released' } },
      }),
      lost: true,
    },
    'remove-finalizer',
  ],
];

for (const [name, change, expected] of cases) {
  test(name, () => assert.is(summary(change), expected));
}

test('a live Volume with a grant keeps the finalizer', () => {
  const attachment = anAttachment({ metadata: deleted });
  assert.is(mayForget(world({ attachment })), true);
  assert.is(mayForget(world({ attachment, volume: held })), false);
});

test.run();
