// One blow at a time, at points spread over everything that a workflow does: npm run test:faults tries them all.
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { POINTS, tryPoints } from '../sim/campaign.ts';

const test = suite('one blow at any point of a workflow');
/** A whole round of all of them takes minutes. */
const ONE_OF = { crash: 8, power: 20, command: 60 } as const;

for (const { workflow, kind } of POINTS) {
  test(`${workflow}: ${kind}`, async () => {
    const { passed, failures } = await tryPoints({ workflow, kind, oneOf: ONE_OF[kind] });
    assert.equal(failures, [], failures.join('\n\n'));
    assert.ok(passed > 0, 'there is no such point');
  });
}

test.run();
