// A few of the histories: npm run test:faults plays as many as are asked for.
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { tryHistory } from '../sim/campaign.ts';
import { historyOf, play } from '../sim/history.ts';
import { type Kit, kitOf, shownKit } from '../sim/kit.ts';

const test = suite('users and faults in any order');
const SEEDS: readonly (readonly [Partial<Kit>, number])[] = [
  [{ pool: 'lvm-thick' }, 60],
  [{ pool: 'lvm-thin' }, 30],
  [{ target: 'tgt' }, 6],
  [{ target: 'tgt', vmm: 'libvirt' }, 4],
  [{ target: 'tgt', vmm: 'libvirt', initiator: 'qemu' }, 8],
  [{ vmm: 'libvirt', pool: 'lvm-thin' }, 4],
];

for (const [kit, seeds] of SEEDS) {
  test(`no promise breaks, and in the end all is as it was wanted: ${shownKit(kitOf(kit))}`, async () => {
    for (let seed = 1; seed <= seeds; seed += 1) {
      const { failures } = await tryHistory(seed, kit);
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
