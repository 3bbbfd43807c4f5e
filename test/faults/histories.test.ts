// A few of the histories: npm run test:faults plays as many as are asked for.
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { tryHistory } from '../sim/campaign.ts';
import { historyOf, play } from '../sim/history.ts';
import type { PoolProfile } from '../sim/server-host.ts';

const test = suite('users and faults in any order');
const SEEDS: Readonly<Record<PoolProfile, number>> = { 'lvm-thick': 60, 'lvm-thin': 30 };

for (const [pool, seeds] of Object.entries(SEEDS) as readonly [PoolProfile, number][]) {
  test(`no promise breaks, and in the end all is as it was wanted: ${pool}`, async () => {
    for (let seed = 1; seed <= seeds; seed += 1) {
      const { failures } = await tryHistory(seed, pool);
      assert.equal(failures, [], failures.join('\n\n'));
    }
  });
}

test('one seed is one history', async () => {
  const told = async (seed: number) => {
    const story: string[] = [];
    await play(seed, historyOf(seed), { onLine: (line) => story.push(line) });
    return story;
  };
  const [first, again, other] = [await told(3), await told(3), await told(4)];
  assert.ok(first.length > 50);
  assert.equal(again, first);
  assert.not.equal(other, first);
});

test.run();
