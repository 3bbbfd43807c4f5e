// The trash in the simulated world: what befalls hosts, clocks and stores does not shorten its time, and nobody loses what was had back.
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { VOLUMES } from '../../api/resources.ts';
import type { Volume } from '../../api/volume.ts';
import { play } from '../sim/history.ts';
import { readyOf } from '../sim/judge.ts';
import { trashHistoryOf } from '../sim/trash-history.ts';
import {
  attach,
  begin,
  createKept,
  detach,
  existing,
  find,
  make,
  offerTrash,
  perform,
  removeVolume,
  retainedOf,
  type Step,
  trashExpires,
  trashVolume,
  undelete,
} from '../sim/workflows.ts';
import { World } from '../sim/world.ts';

const test = suite('the trash in the simulated world');
const SEEDS = [1] as const;
const TTL_SECONDS = 600;
const HISTORIES = 8;
const HOUR_MS = 3_600_000;

const inWorlds = async (drill: (world: World) => Promise<void>): Promise<void> => {
  for (const seed of SEEDS) {
    const world = new World({ seed });
    try {
      await begin(world);
      await performAll(world, offerTrash(TTL_SECONDS));
      await drill(world);
    } finally {
      await world.end();
    }
  }
};

const performAll = async (world: World, ...steps: readonly Step[]): Promise<void> => {
  for (const step of steps) {
    await perform(world, step);
    world.expectTruth();
  }
};

/** With what its guest wrote. */
const used = (name: string): readonly Step[] => [
  createKept(name),
  attach(name, 'vm-a'),
  detach(name, 'vm-a'),
];
const reasonOf = (world: World, name: string): string | undefined =>
  readyOf(find(world, VOLUMES, name))?.reason;

test('a server that is off for longer than the time has it all afterwards', () =>
  inWorlds(async (world) => {
    await performAll(world, ...used('db'), trashVolume('db'));
    world.powerOff('s1');
    await world.pass(10 * TTL_SECONDS * 1_000);
    world.powerOn('s1');
    await performAll(world, undelete('db', 'again'), removeVolume('again'), trashExpires);
  }));

test('clocks that are hours off, and jump, shorten nothing', () =>
  inWorlds(async (world) => {
    await performAll(world, ...used('db'), trashVolume('db'));
    for (const hours of [24, -3, 1_000, -1_000]) {
      world.skews.set('s1', hours * HOUR_MS);
      world.skews.set('controller', -hours * HOUR_MS);
      await world.pass(60_000);
      assert.ok(retainedOf(world, 'db')?.trash, `${hours} h`);
    }
    // The judge knows how long it has been there.
    await performAll(world, trashExpires);
  }));

test('a store that was set back to before the deletion: the data stays for as long as its Volume does', () =>
  inWorlds(async (world) => {
    await performAll(world, ...used('db'));
    const backup = world.api.backup();
    await performAll(world, trashVolume('db'));
    world.api.restore(backup);
    await world.until('the Volume misses it', () => reasonOf(world, 'db') === 'DataMissing', 600_000);
    await world.pass(10 * TTL_SECONDS * 1_000);
    assert.ok(retainedOf(world, 'db')?.trash);
    await performAll(world, trashVolume('db'), undelete('db', 'again'), removeVolume('again'), trashExpires);
  }));

test('had back in the last moment, it is whole in its Volume or was too late, and never both or neither', async () => {
  const outcomes = new Set<string>();
  for (let second = 0; second < 8; second += 1) {
    const world = new World({ seed: second });
    try {
      await begin(world);
      await performAll(world, offerTrash(TTL_SECONDS), ...used('db'), trashVolume('db'));
      const found = retainedOf(world, 'db');
      assert.ok(found?.trash);
      const endMs = Date.parse(found.trash.removedAfter) - world.clock.now().getTime();
      await world.pass(endMs - 5_000 + second * 1_400);
      make(world, VOLUMES, 'again', existing(found));
      const isKnown = (): boolean =>
        /^(Provisioned|NotRetained|RetainedGone)$/.test(reasonOf(world, 'again') ?? '');
      await world.until('it is known', isKnown, 600_000);
      await world.pass(60_000);
      const { volumeID = '' } = world.api.all<Volume>(VOLUMES)[0]?.status ?? {};
      const lvs = world.servers.flatMap(({ lvm }) => lvm.lvs.map(({ name }) => name));
      const reason = reasonOf(world, 'again') ?? '';
      outcomes.add(reason === 'Provisioned' ? 'had back' : 'too late');
      assert.equal(lvs, reason === 'Provisioned' ? [volumeID] : []);
      await performAll(world, removeVolume('again'), trashExpires);
    } finally {
      await world.end();
    }
  }
  assert.equal([...outcomes].toSorted(), ['had back', 'too late']);
});

test('histories of users and faults, in which deleted data is had back', async () => {
  for (let seed = 1; seed <= HISTORIES; seed += 1) {
    const told = await play(seed, trashHistoryOf(seed));
    assert.is(told, undefined, `seed ${seed}: ${told?.wrong}\n${told?.story.slice(-100).join('\n')}`);
  }
});

test.run();
