// A host whose settings are unsafe gets nothing new, and keeps what it has.
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { HostView, Hypervisor, VolumeServer } from '../../api/hosts.ts';
import { planAttachment } from '../../controller/attachment/plan.ts';
import { bind } from '../../controller/binding.ts';
import { hostClaims } from '../../controller/hosts/status.ts';
import { place } from '../../controller/volume/placement.ts';
import { planVolume } from '../../controller/volume/plan.ts';
import {
  admitted,
  aGrant,
  aHypervisor,
  anAttachment,
  aServer,
  aVolume,
  aWorld,
  granted,
} from '../builders/objects.ts';

const test = suite('hosts with unsafe settings');

const problems = [{ reason: 'LvmSeesGuests', message: 'lvm-thin: devices/scan_lvs is 1' }];

/** As the controller leaves it after the host has told of its problem. */
const judged = <T extends HostView<Hypervisor> | HostView<VolumeServer>>(view: T): T => ({
  ...view,
  host: {
    ...view.host,
    status: {
      ...view.host.status,
      conditions: hostClaims(view).map((claim) => ({ ...claim, lastTransitionTime: '2026-01-01T00:00:00Z' })),
    },
  },
});
const server = judged(aServer('s1', { agent: { problems } }));
const hypervisor = judged(aHypervisor('h1', { agent: { problems } }));

test('their condition has the reason and the words of the host', () => {
  for (const view of [server, hypervisor]) {
    assert.equal(
      hostClaims(view).map(({ type, status, reason, message }) => [type, status, reason, message].join(' ')),
      ['Ready', 'HostSafe'].map((type) => `${type} False LvmSeesGuests lvm-thin: devices/scan_lvs is 1`),
    );
  }
});

test('no volume is placed on one, and none is granted to one', () => {
  const placement = place(aWorld({ servers: [server] }));
  assert.is(placement.kind === 'waiting' && placement.reason, 'NoPool');
  const binding = bind(anAttachment(), [hypervisor]);
  assert.is(binding.kind !== 'bound' && binding.reason, 'HypervisorUnsafe');
});

test('what is granted stays granted', () => {
  const volume = aVolume({ status: granted(aGrant()) });
  const attachment = anAttachment({ status: admitted });
  const world = aWorld({ volume, attachments: [attachment], servers: [server], hypervisors: [hypervisor] });
  assert.is(planVolume(world).kind, 'settled');
  assert.is(planAttachment({ attachment, volume, hypervisors: [hypervisor], lost: false }).kind, 'settled');
});

test('a VM that moved away from one is followed: settings say nothing of what the host saw', () => {
  const volume = aVolume({ status: granted(aGrant()) });
  const attachment = anAttachment({ status: admitted });
  const left = judged(aHypervisor('h1', { agent: { problems, instances: [] } }));
  const instances = [{ name: 'vm-a', uuid: 'vm-uuid', state: 'Running' as const }];
  const plan = planAttachment({
    attachment,
    volume,
    hypervisors: [left, aHypervisor('h2', { agent: { instances } })],
    lost: false,
  });
  assert.equal(plan.kind === 'write' && plan.change, { release: true });
});

test.run();
