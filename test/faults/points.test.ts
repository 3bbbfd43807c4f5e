// One blow at a time, at points spread over everything that a workflow does: npm run test:faults tries them all.
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { POINTS, tryPoints } from '../sim/campaign.ts';

const test = suite('one blow at any point of a workflow');
/** A whole round of all of them takes minutes. */
const ONE_OF = { crash: 8, power: 20, command: 60 } as const;

/** Over other targets and hypervisors the controller and most of the agents are the same. */
const SPARSER = 3;

for (const { workflow, kind, kit } of POINTS) {
  const isUsual = kit.target === 'lio' && kit.vmm === 'xen';
  const oneOf = ONE_OF[kind] * (isUsual ? 1 : SPARSER);
  test(`${workflow}: ${kind}`, async () => {
    const { passed, failures } = await tryPoints({ workflow, kind, oneOf });
    assert.equal(failures, [], failures.join('\n\n'));
    assert.ok(passed > 0, 'there is no such point');
  });
}

test.run();
