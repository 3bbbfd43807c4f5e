// What an administrator may delete or replace while it is in use: keys, Leases, the objects of hosts, and all of our kinds at once.
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { KubeObject } from '../../api/object.ts';
import { ATTACHMENTS, HYPERVISORS, LEASES, SECRETS, VOLUME_SERVERS } from '../../api/resources.ts';
import { inWorlds, leftoversOf, performAll, seedsOf, volumeIDOf } from '../sim/drill.ts';
import { isReady } from '../sim/judge.ts';
import {
  attach,
  create,
  detach,
  find,
  makeClass,
  removeSnapshot,
  removeVolume,
  snapshot,
  together,
} from '../sim/workflows.ts';
import type { World } from '../sim/world.ts';

const test = suite('drills: taken away');
const SEEDS = seedsOf(2);
const LONG_MS = 180_000;
/** For a server that was off, sessions that come back, and caches that are read anew. */
const BACK_MS = 600_000;

const goesOn = async (world: World): Promise<void> => {
  const works = () =>
    isReady(find(world, ATTACHMENTS, 'db-vm-a')) && world.lie() === undefined && world.isCalm();
  await world.until('it is attached, and says so', works, BACK_MS);
  const { written } = world.guests;
  await world.pass(20_000);
  assert.ok(world.guests.written > written + 10, 'its guest goes on writing');
};

const endAll = async (world: World): Promise<void> => {
  await performAll(world, detach('db', 'vm-a'), attach('db', 'vm-b'));
  await performAll(world, together(detach('db', 'vm-b'), removeVolume('db')));
  await world.untilNothingLeft(BACK_MS);
};

/** In each of these ways hosts have to do with it again. */
const SHAKES: readonly (readonly [string, (world: World) => void])[] = [
  ['the agents start anew', (world) => world.processes.forEach((process) => void world.kill(process))],
  ['the server loses its power', (world) => world.powerCycle('s1')],
  ['the hypervisor loses its power', (world) => world.powerCycle('h1')],
  [
    'both lose their power',
    (world) => {
      world.powerCycle('s1');
      world.powerCycle('h1');
    },
  ],
];

const CHANGES: readonly (readonly [string, (world: World, secret: KubeObject) => void])[] = [
  ['deleted', (world, { metadata }) => world.api.remove(SECRETS, metadata)],
  [
    'replaced',
    (world, { metadata }) => {
      const key = Buffer.from(`another ${world.random.next()}`).toString('base64');
      world.api.patch(SECRETS, metadata, { data: { key } });
    },
  ],
];

for (const [what, change] of CHANGES) {
  for (const [shaken, shake] of SHAKES) {
    test(`CHAP keys are ${what}, and ${shaken}: what is attached stays attached`, () =>
      inWorlds(SEEDS, async (world) => {
        await performAll(world, create('db'), attach('db', 'vm-a'));
        const secrets = world.api.all<KubeObject>(SECRETS);
        assert.ok(secrets.length >= 2);
        for (const secret of world.random.chance(0.5) ? secrets : secrets.toReversed()) {
          change(world, secret);
          await world.pass(world.random.between(0, 3_000));
        }
        shake(world);
        await goesOn(world);
        // Another grant of the same two hosts brings new keys, and takes none from the first.
        await performAll(world, create('web'), attach('web', 'vm-a'));
        shake(world);
        await goesOn(world);
        await performAll(world, together(detach('web', 'vm-a'), removeVolume('web')));
        await endAll(world);
      }));
  }
}

test('Leases are deleted: whoever held one takes it again, and nobody stops', () =>
  inWorlds(SEEDS, async (world) => {
    await performAll(world, create('db'), attach('db', 'vm-a'));
    for (let times = 0; times < 5; times += 1) {
      for (const { metadata } of world.api.all<KubeObject>(LEASES)) {
        world.api.remove(LEASES, metadata);
      }
      await world.pass(world.random.between(0, 50_000));
    }
    await goesOn(world);
    await endAll(world);
  }));

for (const [shaken, shake] of SHAKES) {
  test(`objects of hosts are deleted, and ${shaken}: they make them anew, and what is attached stays so`, () =>
    inWorlds(SEEDS, async (world) => {
      await performAll(world, create('db'), attach('db', 'vm-a'));
      for (const resource of [VOLUME_SERVERS, HYPERVISORS]) {
        for (const { metadata } of world.api.all<KubeObject>(resource)) {
          world.api.remove(resource, metadata);
        }
      }
      await world.pass(world.random.between(0, 5_000));
      shake(world);
      const areBack = () =>
        world.api.all(HYPERVISORS).filter((host) => isReady(host)).length === 2 &&
        world.api.all(VOLUME_SERVERS).filter((host) => isReady(host)).length === 1;
      await world.until('the objects of the hosts are there again', areBack, BACK_MS);
      await goesOn(world);
      await endAll(world);
    }));
}

test('our kinds are deleted by force: all data stays and serves, is told of when they are back, and hinders nobody', () =>
  inWorlds(SEEDS, async (world) => {
    await performAll(
      world,
      together(create('db'), create('idle')),
      attach('db', 'vm-a'),
      snapshot('db', 'monday'),
    );
    const [db, idle] = [volumeIDOf(world, 'db'), volumeIDOf(world, 'idle')];
    const stored = world.servers[0]?.lvm.lvs.map(({ name }) => name);
    world.tell('administrator: deletes our kinds');
    world.api.dropKinds();
    for (const process of world.processes) {
      await world.pass(world.random.between(0, 30_000));
      world.kill(process);
    }
    const { written } = world.guests;
    await world.pass(LONG_MS);
    world.api.bringKinds();
    await world.pass(LONG_MS);
    assert.equal(
      world.servers[0]?.lvm.lvs.map(({ name }) => name),
      stored,
    );
    const words = world.servers[0]?.words(db) ?? [];
    assert.ok(words.every((word, at) => world.guests.journal(db).mayShow(at, word)));
    // A hypervisor that saw its Attachment deleted has taken the disk out, as asked.
    const isHeld = world.guests.disks.some(({ volumeID }) => volumeID === db);
    assert.is(world.guests.written > written + 100, isHeld);
    assert.is(leftoversOf(world).includes(`Disk ${db}`), isHeld);
    for (const id of [db, idle]) {
      assert.ok(
        leftoversOf(world).includes(`Backing ${id}`),
        `${id} is told of, not only ${leftoversOf(world)}`,
      );
    }
    makeClass(world);
    await performAll(world, create('db'), attach('db', 'vm-b'), snapshot('db', 'monday'));
    assert.is.not(volumeIDOf(world, 'db'), db);
    await performAll(world, together(removeSnapshot('monday'), detach('db', 'vm-b')), removeVolume('db'));
    assert.ok(stored?.every((name) => world.servers[0]?.lvm.lv(name)));
  }));

test.run();
