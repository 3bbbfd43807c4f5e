// Objects whose finalizers an administrator takes off, so that they go without anybody having ended what they stood for: nothing
// that was in use is destroyed, what is left is told, nobody else is hurt, and what is made under the same name is new.
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Resource } from '../../api/object.ts';
import { ATTACHMENTS, SNAPSHOTS, VOLUMES } from '../../api/resources.ts';
import type { Snapshot, Volume } from '../../api/volume.ts';
import { type Drill, inWorlds, leftoversOf, performAll, seedsOf, volumeIDOf } from '../sim/drill.ts';
import { isReady } from '../sim/judge.ts';
import {
  attach,
  create,
  detach,
  find,
  removeSnapshot,
  removeVolume,
  type Step,
  snapshot,
  strip,
  together,
} from '../sim/workflows.ts';
import type { World } from '../sim/world.ts';

const test = suite('drills: stripped of finalizers');
const SEEDS = seedsOf(2);
const LONG_MS = 150_000;

interface Stage {
  readonly what: string;
  readonly before: readonly Step[];
  /** What is under way. */
  readonly midst?: Step;
}

const STAGES: readonly Stage[] = [
  { what: 'as it is made', before: [], midst: together(create('db'), attach('db', 'vm-a')) },
  { what: 'as it is attached', before: [create('db')], midst: attach('db', 'vm-a') },
  { what: 'attached', before: [create('db'), attach('db', 'vm-a')] },
  { what: 'as it is detached', before: [create('db'), attach('db', 'vm-a')], midst: detach('db', 'vm-a') },
  {
    what: 'as all of it is deleted',
    before: [create('db'), attach('db', 'vm-a')],
    midst: together(detach('db', 'vm-a'), removeVolume('db')),
  },
  { what: 'as it is deleted', before: [create('db')], midst: removeVolume('db') },
];

/** Up to the stage, and on for a moment. */
const arrive = async (world: World, { before, midst }: Stage): Promise<void> => {
  await performAll(world, create('web'), attach('web', 'vm-b'), ...before);
  midst?.do(world);
  await world.pass(midst === undefined ? 0 : world.random.between(0, 1_200));
};

/** The volume of others is in use as ever. */
const expectOthersWell = async (world: World): Promise<void> => {
  const { written } = world.guests;
  await world.pass(10_000);
  assert.ok(world.guests.written > written + 5, 'the guest of web goes on writing');
  assert.ok(isReady(find(world, ATTACHMENTS, 'web-vm-b')));
};

/** What of that ID is there, as hosts would tell it. */
const thingsOf = (world: World, id: string): readonly string[] => [
  ...world.servers.flatMap(({ lvm, exporter }) => [
    ...lvm.lvs.flatMap(({ name }) => (name === id || name === `${id}.new` ? [`Backing ${id}`] : [])),
    ...exporter.targets.filter((iqn) => iqn.endsWith(`:${id}`)).map((iqn) => `Export ${iqn}`),
  ]),
];

const holds = (world: World, id: string): boolean =>
  world.guests.disks.some(({ volumeID }) => volumeID === id);

/** Whatever object is left of it goes, then all is made anew under the same name. */
const makeAnew = async (world: World, oldID: string): Promise<void> => {
  const left = [
    ...(find(world, ATTACHMENTS, 'db-vm-a') === undefined ? [] : [detach('db', 'vm-a')]),
    ...(find(world, VOLUMES, 'db') === undefined ? [] : [removeVolume('db')]),
  ];
  if (left.length > 0) {
    await performAll(world, together(...left));
  }
  await performAll(world, create('db'), attach('db', 'vm-a'));
  assert.is.not(volumeIDOf(world, 'db'), oldID);
  await performAll(world, together(detach('db', 'vm-a'), removeVolume('db')));
};

/** Nothing is left but what has been told of, which an administrator removes by hand. */
const expectOnlyTold = async (world: World, id: string): Promise<void> => {
  await performAll(world, together(detach('web', 'vm-b'), removeVolume('web')));
  const told = leftoversOf(world);
  const isTold = (what: string): boolean =>
    told.includes(`Backing ${id}`) && (what === `${id} on s1` || what === `${id}.new on s1`);
  const remembered = `${id}.json remembered by s1`;
  const left = (world.leftOver()?.replace('left over: ', '') ?? '').split(', ');
  assert.equal(
    left.filter((what) => what !== '' && what !== remembered && !isTold(what)),
    [],
  );
};

for (const stage of STAGES) {
  test(`a Volume, ${stage.what}`, () =>
    inWorlds(SEEDS, async (world) => {
      await arrive(world, stage);
      const id = volumeIDOf(world, 'db');
      const { order } = (find(world, VOLUMES, 'db') as Volume | undefined)?.status ?? {};
      const words = world.servers[0]?.words(id);
      strip(world, VOLUMES, 'db');
      await world.pass(LONG_MS);
      await expectOthersWell(world);
      if (words !== undefined && order === 'Keep') {
        const journal = world.guests.journal(id);
        const now = world.servers[0]?.words(id);
        assert.ok(
          now?.every((word, at) => journal.mayShow(at, word)),
          'all that was written is there',
        );
      }
      for (const thing of thingsOf(world, id)) {
        assert.ok(leftoversOf(world).includes(thing), `${thing} is told of, not only ${leftoversOf(world)}`);
      }
      await makeAnew(world, id);
      assert.not(holds(world, id));
      await expectOnlyTold(world, id);
    }));

  test(`an Attachment, ${stage.what}`, () =>
    inWorlds(SEEDS, async (world) => {
      await arrive(world, stage);
      if (find(world, ATTACHMENTS, 'db-vm-a') === undefined) {
        return;
      }
      const id = volumeIDOf(world, 'db');
      strip(world, ATTACHMENTS, 'db-vm-a');
      await world.pass(LONG_MS);
      await expectOthersWell(world);
      assert.not(holds(world, id), 'its disk is out of the VM');
      const volume = find(world, VOLUMES, 'db');
      if (volume !== undefined) {
        await performAll(world, attach('db', 'vm-b'));
        await performAll(world, together(detach('db', 'vm-b'), removeVolume('db')));
      }
      await makeAnew(world, id);
      await performAll(world, together(detach('web', 'vm-b'), removeVolume('web')));
      await world.untilNothingLeft(600_000);
    }));

  test(`a Volume and its Attachment, ${stage.what}`, () =>
    inWorlds(SEEDS, async (world) => {
      await arrive(world, stage);
      const id = volumeIDOf(world, 'db');
      const { order } = (find(world, VOLUMES, 'db') as Volume | undefined)?.status ?? {};
      strip(world, VOLUMES, 'db');
      strip(world, ATTACHMENTS, 'db-vm-a');
      await world.pass(LONG_MS);
      await expectOthersWell(world);
      // Its hypervisor has seen that it was deleted, or that it is gone: which proves nothing.
      assert.is(leftoversOf(world).includes(`Disk ${id}`), holds(world, id));
      for (const thing of order === 'Keep' ? thingsOf(world, id) : []) {
        assert.ok(leftoversOf(world).includes(thing), `${thing} is told of, not only ${leftoversOf(world)}`);
      }
      await performAll(world, create('db'), attach('db', 'vm-a'));
      assert.is.not(volumeIDOf(world, 'db'), id);
      const mine = world.guests.disks.filter(({ vm }) => vm === 'vm-a');
      assert.is(
        new Set(mine.map(({ device }) => device)).size,
        mine.length,
        'each disk has a name of its own',
      );
      await performAll(world, together(detach('db', 'vm-a'), removeVolume('db')));
    }));
}

const SNAPSHOT_STAGES: readonly Stage[] = [
  { what: 'as it is made', before: [create('db'), attach('db', 'vm-a')], midst: snapshot('db', 'monday') },
  { what: 'of a volume in use', before: [create('db'), attach('db', 'vm-a'), snapshot('db', 'monday')] },
  {
    what: 'as a volume is made of it',
    before: [create('db'), attach('db', 'vm-a'), snapshot('db', 'monday')],
    midst: create('copy', { source: { snapshotRef: { name: 'monday' } } }),
  },
  {
    what: 'as it is deleted',
    before: [create('db'), attach('db', 'vm-a'), snapshot('db', 'monday')],
    midst: removeSnapshot('monday'),
  },
];

const snapshotIDOf = (world: World): string =>
  (find(world, SNAPSHOTS, 'monday') as Snapshot | undefined)?.status?.snapshotID ?? '';

const goneWith = (resource: Resource, name: string, step: Step) => (world: World) =>
  find(world, resource, name) === undefined ? [] : [step];

const snapshotDrill =
  (stage: Stage): Drill =>
  async (world) => {
    await arrive(world, stage);
    const id = snapshotIDOf(world);
    strip(world, SNAPSHOTS, 'monday');
    await world.pass(LONG_MS);
    await expectOthersWell(world);
    assert.ok(isReady(find(world, ATTACHMENTS, 'db-vm-a')));
    for (const thing of thingsOf(world, id)) {
      assert.ok(leftoversOf(world).includes(thing), `${thing} is told of, not only ${leftoversOf(world)}`);
    }
    await performAll(world, snapshot('db', 'monday'));
    assert.is.not(snapshotIDOf(world), id);
    const left = goneWith(VOLUMES, 'copy', removeVolume('copy'))(world);
    await performAll(world, together(...left, removeSnapshot('monday'), detach('db', 'vm-a')));
    await world.pass(LONG_MS);
    await expectOthersWell(world);
  };

for (const pool of ['lvm-thick', 'lvm-thin'] as const) {
  for (const stage of SNAPSHOT_STAGES) {
    test(`a Snapshot in ${pool}, ${stage.what}`, () =>
      inWorlds(SEEDS, snapshotDrill(stage), { kit: { pool } }));
  }
}

test.run();
