// Two controllers that both believe to lead, as where the election is broken: every decision is a compare-and-swap on one object, so
// one of them is merely late.
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { inWorlds, performAll, seedsOf } from '../sim/drill.ts';
import {
  attach,
  create,
  detach,
  removeSnapshot,
  removeVolume,
  snapshot,
  together,
} from '../sim/workflows.ts';
import type { World } from '../sim/world.ts';

const test = suite('drills: two controllers');
const SEEDS = seedsOf(3);
const SECOND = 'controller-2';

const live = async (world: World): Promise<void> => {
  await performAll(
    world,
    together(create('db'), attach('db', 'vm-a'), create('web')),
    snapshot('db', 'monday'),
    together(detach('db', 'vm-a'), attach('db', 'vm-b')),
    create('copy', { source: { snapshotRef: { name: 'monday' } } }),
    together(attach('copy', 'vm-a'), removeVolume('web')),
    together(detach('copy', 'vm-a'), removeVolume('copy')),
  );
};

const end = async (world: World): Promise<void> => {
  await performAll(world, removeSnapshot('monday'), together(detach('db', 'vm-b'), removeVolume('db')));
  await world.untilNothingLeft(600_000);
};

for (const lagMs of [20, 2_000, 30_000]) {
  test(`one of them sees everything up to ${lagMs} ms late`, () =>
    inWorlds(SEEDS, async (world) => {
      world.lags.set(SECOND, lagMs);
      world.addController(SECOND);
      await live(world);
      for (const controller of ['controller', SECOND]) {
        const decided = world.story.some((line) => line.includes(`${controller}: patch volumes team/`));
        assert.ok(decided || lagMs > 2_000, `${controller} decided nothing`);
      }
      world.retire(SECOND);
      await end(world);
    }));
}

test('both see everything late, and both are killed again and again', () =>
  inWorlds(SEEDS, async (world) => {
    for (const controller of ['controller', SECOND]) {
      world.lags.set(controller, 10_000);
    }
    world.addController(SECOND);
    let isOver = false;
    const strike = (): void => {
      if (!isOver) {
        world.kill(world.random.pick(['controller', SECOND]));
        world.clock.after(world.random.between(500, 40_000), strike);
      }
    };
    world.clock.after(10_000, strike);
    await live(world);
    isOver = true;
    world.retire(SECOND);
    world.lags.clear();
    await end(world);
  }));

test.run();
