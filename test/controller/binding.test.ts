import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Attachment } from '../../api/attachment.ts';
import { bind, type HypervisorView } from '../../controller/binding.ts';
import { aHypervisor, anAttachment } from '../builders/objects.ts';

const test = suite('binding an Attachment to a hypervisor');

const vm = (state: 'Running' | 'Stopped' = 'Running', uuid = 'vm-uuid') => ({ name: 'vm-a', uuid, state });
const where = (attachment: Attachment, hypervisors: readonly HypervisorView[]): string => {
  const binding = bind(attachment, hypervisors);
  return binding.kind === 'bound' ? binding.hypervisor.host.metadata.name : binding.reason;
};
const numbered = aHypervisor('h1', { agent: { instances: [{ ...vm(), vmid: 105 }] } });
const h2 = (state: 'Running' | 'Stopped') => aHypervisor('h2', { agent: { instances: [vm(state)] } });

const cases: [
  name: string,
  spec: Partial<Attachment['spec']>,
  hypervisors: HypervisorView[],
  expected: string,
][] = [
  ['found from the name', {}, [aHypervisor('h2'), aHypervisor('h1')], 'h1'],
  ['found from the UUID', { instance: { uuid: 'vm-uuid' } }, [aHypervisor('h1')], 'h1'],
  ['a name is not a UUID', { instance: { uuid: 'vm-a' } }, [aHypervisor('h1')], 'InstanceNotFound'],
  ['found from the number', { instance: { vmid: 105 } }, [numbered], 'h1'],
  ['a number is not a name', { instance: { name: '105' } }, [numbered], 'InstanceNotFound'],
  [
    'a VM without a number is not found by one',
    { instance: { vmid: 105 } },
    [aHypervisor('h1')],
    'InstanceNotFound',
  ],
  [
    'a stopped VM may have its disk promised',
    {},
    [aHypervisor('h1', { agent: { instances: [vm('Stopped')] } })],
    'h1',
  ],
  [
    'the running one of two is meant',
    {},
    [aHypervisor('h1', { agent: { instances: [vm('Stopped')] } }), h2('Running')],
    'h2',
  ],
  ['two running ones are never guessed between', {}, [aHypervisor('h1'), h2('Running')], 'InstanceAmbiguous'],
  ['a named hypervisor settles it', { hypervisor: 'h2' }, [aHypervisor('h1'), h2('Running')], 'h2'],
  [
    'a named hypervisor without the VM waits',
    { hypervisor: 'h2' },
    [aHypervisor('h1'), aHypervisor('h2')],
    'InstanceNotFound',
  ],
  [
    'a named hypervisor that does not exist waits',
    { hypervisor: 'h9' },
    [aHypervisor('h1')],
    'HypervisorNotFound',
  ],
  [
    'a silent hypervisor is not searched',
    {},
    [aHypervisor('h1', { freshness: 'stale' })],
    'InstanceNotFound',
  ],
  [
    'a named silent one is said to be silent',
    { hypervisor: 'h1' },
    [aHypervisor('h1', { freshness: 'stale' })],
    'HypervisorSilent',
  ],
  [
    'a fenced one with disks left is not used',
    {},
    [
      {
        ...aHypervisor('h1'),
        host: {
          ...aHypervisor('h1', { agent: { disks: 1 } }).host,
          status: { ...aHypervisor('h1', { agent: { disks: 1 } }).host.status, fencedBootID: 'boot-h1' },
        },
      },
    ],
    'HypervisorFenced',
  ],
  [
    'after a new boot it is used again',
    {},
    [
      {
        ...aHypervisor('h1'),
        host: {
          ...aHypervisor('h1').host,
          status: { ...aHypervisor('h1').host.status, fencedBootID: 'an-earlier-boot' },
        },
      },
    ],
    'h1',
  ],
];

for (const [name, spec, hypervisors, expected] of cases) {
  test(name, () => assert.is(where(anAttachment({ spec }), hypervisors), expected));
}

test('where VMs have no UUID, that is where to look', () => {
  const old = aHypervisor('h1', { agent: { instances: [], unidentified: ['vm-a (105)'] } });
  for (const spec of [{}, { hypervisor: 'h1' }]) {
    const binding = bind(anAttachment({ spec }), [old, aHypervisor('h2')]);
    assert.is(binding.kind, 'waiting');
    assert.match(JSON.stringify(binding), 'status.agent.unidentified of hypervisor h1');
  }
  const silent = { ...old, freshness: 'stale' as const };
  assert.not.match(JSON.stringify(bind(anAttachment(), [silent])), 'unidentified');
});

test.run();
