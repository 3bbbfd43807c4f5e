// Machines that take themselves for another one: what is there twice must act once.
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { HOST_LEASE, hostNamespace } from '../../api/names.ts';
import { ATTACHMENTS, LEASES } from '../../api/resources.ts';
import { eventsOf, inWorlds, performAll, seedsOf, volumeIDOf } from '../sim/drill.ts';
import { BOOT_ID, type Host } from '../sim/host.ts';
import type { HypervisorHost } from '../sim/hypervisor-host.ts';
import { isReady } from '../sim/judge.ts';
import { isHeartbeat } from '../sim/life.ts';
import { attach, create, detach, find, removeVolume, together } from '../sim/workflows.ts';
import type { World } from '../sim/world.ts';

const test = suite('drills: who is who');
const SEEDS = seedsOf(3);
/** Longer than any Lease, and than it takes to tell of a duplicate. */
const LONG_MS = 180_000;

const h1Of = (world: World): HypervisorHost => {
  const [h1] = world.hypervisors;
  assert.ok(h1);
  return h1;
};

/** What it did to its host or to the API server, heartbeats, its own directories and what it puts there apart. */
const actsOf = (world: World, { name }: Host, from = 0): readonly string[] =>
  world.story
    .slice(from)
    .flatMap((line) => (line.slice(11).startsWith(`${name}: `) ? [line.slice(13 + name.length)] : []))
    .filter((act) => !isHeartbeat(act) && !/^(?:mkdir|writeAtomic|unlink) \/var\/lib\/vbs/.test(act));

/** A copy of h1 beside it; with the boot ID of the other one where a running machine was copied. */
const clone = (world: World, sameBoot: boolean): HypervisorHost => {
  const h1 = h1Of(world);
  const twin = world.cloneHypervisor(h1, 'h1-twin');
  if (sameBoot) {
    twin.tree.put(BOOT_ID, h1.tree.text(BOOT_ID));
  }
  return twin;
};

for (const sameBoot of [false, true]) {
  const which = sameBoot ? 'a hypervisor copied while it runs' : 'a hypervisor cloned from its disk';

  test(`${which}, before it has a volume: one of the two acts, and it is told`, () =>
    inWorlds(SEEDS, async (world) => {
      const twin = clone(world, sameBoot);
      await performAll(world, create('db'), attach('db', 'vm-a'), detach('db', 'vm-a'));
      await performAll(world, attach('db', 'vm-a'));
      await world.until('the duplicate is told', () => eventsOf(world).includes('DuplicateHost'), LONG_MS);
      assert.equal(actsOf(world, twin), []);
      world.carryAway(twin.name);
      await performAll(world, detach('db', 'vm-a'), attach('db', 'vm-b'));
      await performAll(world, together(detach('db', 'vm-b'), removeVolume('db')));
      await world.untilNothingLeft(600_000);
    }));

  test(`${which}, as it gets a volume: its twin lets it alone, whoever starts anew`, () =>
    inWorlds(SEEDS, async (world) => {
      await performAll(world, create('db'));
      const { random } = world;
      const attaching = attach('db', 'vm-a');
      attaching.do(world);
      await world.pass(random.between(0, 2_000));
      const twin = clone(world, sameBoot);
      await world.until(attaching.what, () => attaching.isDone(world));
      for (let times = 0; times < 4; times += 1) {
        await world.pass(random.between(1_000, 60_000));
        world.kill(random.pick(['h1', twin.name]));
      }
      await world.until('the duplicate is told', () => eventsOf(world).includes('DuplicateHost'), LONG_MS);
      assert.equal(actsOf(world, twin), []);
      world.carryAway(twin.name);
      await performAll(world, detach('db', 'vm-a'), attach('db', 'vm-b'));
      await performAll(world, together(detach('db', 'vm-b'), removeVolume('db')));
      await world.untilNothingLeft(600_000);
    }));

  test(`${which}: its twin does not take the time when nobody hears of the first one for a word`, () =>
    inWorlds(SEEDS, async (world) => {
      await performAll(world, create('db'), attach('db', 'vm-a'));
      const twin = clone(world, sameBoot);
      await world.pass(30_000);
      const { random } = world;
      for (let times = 0; times < 3; times += 1) {
        const silence = random.pick([
          (isOver: boolean) => world.cutFromApi('h1', !isOver),
          (isOver: boolean) => world.turnApi(isOver),
          (isOver: boolean) => (isOver ? world.powerOn('h1') : world.powerOff('h1')),
        ]);
        silence(false);
        await world.pass(random.between(30_000, 120_000));
        silence(true);
        await world.pass(random.between(10_000, 90_000));
      }
      assert.equal(actsOf(world, twin), []);
      world.carryAway(twin.name);
      const isBack = () => isReady(find(world, ATTACHMENTS, 'db-vm-a')) && world.lie() === undefined;
      await world.until('it is attached as before', isBack, 600_000);
      await performAll(world, detach('db', 'vm-a'), attach('db', 'vm-b'));
      await performAll(world, together(detach('db', 'vm-b'), removeVolume('db')));
      await world.untilNothingLeft(600_000);
    }));

  test(`${which}: when the first one is gone for good, its twin takes its place on the word of a person`, () =>
    inWorlds(SEEDS, async (world) => {
      await performAll(world, create('db'), attach('db', 'vm-a'));
      const twin = clone(world, sameBoot);
      await world.pass(LONG_MS);
      world.carryAway('h1');
      await world.pass(LONG_MS);
      assert.equal(actsOf(world, twin), [], 'silence is no word');
      world.tell('administrator: deletes the Lease of h1');
      world.api.remove(LEASES, { name: HOST_LEASE, namespace: hostNamespace('h1') });
      const hasIt = () => world.guests.disks.some(({ host }) => host === twin.name);
      const isSaid = () => hasIt() && world.isQuiet() && world.lie() === undefined;
      await world.until('its disk is in the VM of the twin', isSaid, 600_000);
      world.expectTruth();
      await performAll(world, detach('db', 'vm-a'), attach('db', 'vm-b'));
      await performAll(world, together(detach('db', 'vm-b'), removeVolume('db')));
      await world.untilNothingLeft(600_000);
    }));
}

test('a copy of a volume server: nobody gets at its data of yesterday', () =>
  inWorlds(SEEDS, async (world) => {
    await performAll(world, create('db'), attach('db', 'vm-a'));
    const id = volumeIDOf(world, 'db');
    const [s1] = world.servers;
    assert.ok(s1);
    const twin = world.cloneServer(s1, 's1-twin');
    const then = twin.words(id);
    const { written } = world.guests;
    await performAll(world, detach('db', 'vm-a'), attach('db', 'vm-b'), create('web'));
    await world.until('the duplicate is told', () => eventsOf(world).includes('DuplicateHost'), LONG_MS);
    assert.ok(world.guests.written > written);
    world.powerOff('s1');
    await world.pass(world.random.between(30_000, 200_000));
    world.powerOn('s1');
    const isBack = () => isReady(find(world, ATTACHMENTS, 'db-vm-b')) && world.lie() === undefined;
    await world.until('its own data serves again', () => isBack() && world.isCalm(), 600_000);
    assert.equal(actsOf(world, twin), []);
    assert.equal(twin.exporter.targets, []);
    assert.equal(twin.words(id), then);
    world.carryAway(twin.name);
    await performAll(world, together(detach('db', 'vm-b'), removeVolume('db'), removeVolume('web')));
    await world.untilNothingLeft(600_000);
  }));

test.run();
