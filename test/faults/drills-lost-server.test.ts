// A volume server is declared lost: what an administrator does when its disks are gone for good, and what it means when they were not.
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { ATTACHMENTS, HYPERVISORS, VOLUME_SERVERS, VOLUMES } from '../../api/resources.ts';
import { inWorlds, leftoversOf, performAll, seedsOf, volumeIDOf } from '../sim/drill.ts';
import { isReady, readyOf } from '../sim/judge.ts';
import {
  attach,
  change,
  create,
  detach,
  find,
  remove,
  removeSnapshot,
  removeVolume,
  type Step,
  snapshot,
  together,
} from '../sim/workflows.ts';
import type { World } from '../sim/world.ts';

const test = suite('drills: a lost server');
const SEEDS = seedsOf(3);
const LONG_MS = 600_000;

const declareLost = async (world: World, lost = true): Promise<void> => {
  change(world, VOLUME_SERVERS, 's1', { lost });
  const reason = lost ? 'Lost' : 'Heard';
  const isSaid = () => readyOf(world.api.find(VOLUME_SERVERS, { name: 's1' }))?.reason === reason;
  await world.until(`s1 is said to be ${reason}`, isSaid, LONG_MS);
};

const fence = (world: World, fenced: boolean): void => change(world, HYPERVISORS, 'h1', { fenced });

/** While hosts are away: nothing else has to be done by then. */
const untilDone = async (world: World, step: Step): Promise<void> => {
  step.do(world);
  await world.until(step.what, () => step.isDone(world), LONG_MS);
};

test('its disks are gone: all that was on it can be deleted, and the hypervisor lets go', () =>
  inWorlds(SEEDS, async (world) => {
    await performAll(world, create('db'), snapshot('db', 'snap'), attach('db', 'vm-a'));
    world.carryAway('s1');
    await declareLost(world);
    await performAll(world, detach('db', 'vm-a'), together(removeSnapshot('snap'), removeVolume('db')));
    await world.untilNothingLeft(LONG_MS);
    assert.equal(leftoversOf(world), []);
  }));

test('its hypervisor is off, too: a fence is what lets go in its place, and it is clean when it comes back', () =>
  inWorlds(SEEDS, async (world) => {
    await performAll(world, create('db'), attach('db', 'vm-a'));
    world.powerOff('h1');
    world.carryAway('s1');
    await declareLost(world);
    remove(world, ATTACHMENTS, 'db-vm-a');
    await world.pass(LONG_MS);
    assert.ok(find(world, ATTACHMENTS, 'db-vm-a'), 'nobody has said that h1 does not have the disk');
    fence(world, true);
    await untilDone(world, detach('db', 'vm-a'));
    await untilDone(world, removeVolume('db'));
    world.powerOn('h1');
    await world.untilNothingLeft(LONG_MS);
  }));

test('it was not lost, and nor was its hypervisor: its guest writes until it is cut off, and only then another one does', () =>
  inWorlds(SEEDS, async (world) => {
    await performAll(world, create('db'), attach('db', 'vm-a'));
    world.cutFromApi('s1', true);
    world.cutFromApi('h1', true);
    await declareLost(world);
    fence(world, true);
    await untilDone(world, detach('db', 'vm-a'));
    attach('db', 'vm-b').do(world);
    const { written } = world.guests;
    await world.pass(LONG_MS);
    assert.ok(world.guests.written > written + 100, 'its guest goes on writing');
    assert.not.ok(isReady(find(world, ATTACHMENTS, 'db-vm-b')));
    world.cutFromApi('s1', false);
    await declareLost(world, false);
    await world.until(
      'it is attached elsewhere',
      () => isReady(find(world, ATTACHMENTS, 'db-vm-b')),
      LONG_MS,
    );
    world.cutFromApi('h1', false);
    await world.until(
      'h1 has cleaned up',
      () => !world.guests.disks.some(({ host }) => host === 'h1'),
      LONG_MS,
    );
    fence(world, false);
    await performAll(world, together(detach('db', 'vm-b'), removeVolume('db')));
    await world.untilNothingLeft(LONG_MS);
  }));

test('it was not lost, and all of its objects are gone: its data is kept, told of, and had back as it was', () =>
  inWorlds(SEEDS, async (world) => {
    await performAll(world, create('db'), attach('db', 'vm-a'));
    const id = volumeIDOf(world, 'db');
    world.cutFromApi('s1', true);
    await declareLost(world);
    await untilDone(world, detach('db', 'vm-a'));
    await untilDone(world, removeVolume('db'));
    world.cutFromApi('s1', false);
    await declareLost(world, false);
    await world.until('it is told of', () => leftoversOf(world).includes(`Backing ${id}`), LONG_MS);
    await performAll(
      world,
      create('again', { source: { existing: { volumeServer: 's1', id } } }),
      attach('again', 'vm-a'),
    );
    assert.is(volumeIDOf(world, 'again'), id);
    const words = world.servers[0]?.words(id) ?? [];
    assert.ok(words.every((word, at) => world.guests.journal(id).mayShow(at, word)));
    change(world, VOLUMES, 'again', { deletionPolicy: 'Delete' });
    await performAll(
      world,
      detach('again', 'vm-a'),
      attach('again', 'vm-b'),
      together(detach('again', 'vm-b'), removeVolume('again')),
    );
    await world.untilNothingLeft(LONG_MS);
  }));

test.run();
