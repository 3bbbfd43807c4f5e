// The schemas are gone, and objects of every kind hold what no schema would let pass. Agents refuse: nothing of it reaches a command or a path,
// no process ends, and a healthy volume beside it is made, attached, copied, moved and deleted as ever.
import * as fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { uuidFrom, volumeIDFor } from '../../api/ids.ts';
import { FINALIZER } from '../../api/names.ts';
import {
  ATTACHMENTS,
  HYPERVISORS,
  SNAPSHOTS,
  VOLUME_CLASSES,
  VOLUME_SERVERS,
  VOLUMES,
} from '../../api/resources.ts';
import { holds } from '../harness/fuzz.ts';
import { STATE } from '../sim/host.ts';
import { type HostileObject, hostileObject, type Lures, MARK, shownObject } from '../sim/hostile.ts';
import { isReady } from '../sim/judge.ts';
import { type Recorded, record } from '../sim/recorder.ts';
import {
  begin,
  create,
  detach,
  find,
  make,
  NAMESPACE,
  removeSnapshot,
  removeVolume,
  type Step,
  snapshot,
} from '../sim/workflows.ts';
import { World } from '../sim/world.ts';

const test = suite('hostile objects');
const LIMIT_MS = 600_000;
const LAST_LINES = 60;
/** Each is some minutes of a whole world. */
const RUNS = 1;
/** In a minute in which nobody wants anything. */
const MOST_ACTS = 100;
const KINDS = [
  VOLUMES,
  VOLUMES,
  SNAPSHOTS,
  ATTACHMENTS,
  ATTACHMENTS,
  VOLUME_CLASSES,
  VOLUME_SERVERS,
  HYPERVISORS,
];
const FINALIZERS = [FINALIZER];

/** Words in their places, so that objects get far: as if placed on the only server, bound to one of the hypervisors. */
const LURES: Lures = {
  server: ['s1'],
  hypervisor: ['h1', 'h2'],
  pool: ['main'],
  className: ['standard'],
  size: ['4Mi'],
  sizeBytes: ['4194304', '16777216'],
  volumeID: [volumeIDFor('evil 1'), volumeIDFor('evil 2')],
  id: [volumeIDFor('evil 1')],
  snapshotID: ['snap0123456789abcdef'],
  serial: [volumeIDFor('evil 1')],
  iqn: [`iqn.2026-11.dev.vbs:${volumeIDFor('evil 1')}`],
  initiator: ['iqn.2026-11.dev.vbs:host.h1'],
  portals: [['10.0.0.1:3260']],
  lun: [1],
  epoch: [1, 2],
  placementEpoch: [1],
  device: ['xvdd'],
  uuid: [uuidFrom('vm vm-a'), uuidFrom('vm vm-b')],
};

/** As if bound to what others have: the volume in use, its Attachment, its grant. */
const DB_UID = uuidFrom(`volumes ${NAMESPACE}/db 1`);
const DB_ID = volumeIDFor(DB_UID);
const THEIRS: Lures = {
  ...LURES,
  volumeID: [DB_ID],
  volumeUID: [DB_UID],
  id: [DB_ID],
  uid: [DB_UID, uuidFrom(`attachments ${NAMESPACE}/db-vm-a 1`)],
  attachments: [[uuidFrom(`attachments ${NAMESPACE}/db-vm-a 1`)]],
  serial: [DB_ID],
  iqn: [`iqn.2026-11.dev.vbs:${DB_ID}`],
};

const evil = (lures: Lures): fc.Arbitrary<readonly HostileObject[]> =>
  fc.array(
    fc.constantFrom(...KINDS).chain((kind) => hostileObject(kind, lures, FINALIZERS)),
    { minLength: 15, maxLength: 30 },
  );

const plant = (world: World, objects: readonly HostileObject[]): void => {
  for (const one of objects) {
    world.tell(`nobody: plants ${shownObject(one).slice(0, 300)}`);
    world.api.plant(one.resource, one.object);
  }
};

/** Without waiting for silence: what is hostile may be tried again for ever. */
const perform = async (world: World, { what, do: act, isDone }: Step): Promise<void> => {
  act(world);
  await until(world, what, () => isDone(world));
};

const until = async (world: World, what: string, isSo: () => boolean): Promise<void> => {
  for (let waitedMs = 0; !isSo(); waitedMs += 500) {
    if (waitedMs >= LIMIT_MS) {
      const healthy = ['db', 'web', 'monday', 'db-vm-a', 'web-vm-b'].flatMap((name) =>
        [VOLUMES, SNAPSHOTS, ATTACHMENTS].map((resource) => find(world, resource, name)),
      );
      throw new Error(
        `not within ${LIMIT_MS / 1_000} s: ${what}\n${JSON.stringify(healthy.filter((one) => one !== undefined))}`,
      );
    }
    await world.pass(500);
  }
};

/** A hostile Hypervisor may say that it runs any VM: this one is named. */
const attachTo = (volume: string, vm: string, hypervisor: string): Step => {
  const name = `${volume}-${vm}`;
  const spec = { volumeRef: { name: volume }, instance: { name: vm }, hypervisor };
  return {
    what: `attach ${volume} to ${vm}`,
    do: (world) => make(world, ATTACHMENTS, name, spec),
    isDone: (world) => isReady(find(world, ATTACHMENTS, name)),
  };
};

/** Where an agent may write. */
const PLACES = [`${STATE}/`, '/sys/', '/dev/vbs', '/run/lock/iscsi/'];

const expectUntouched = (host: string, { commands, changedPaths }: Recorded): void => {
  const told = commands.find((argv) => argv.some((word) => word.includes(MARK)));
  assert.is(told, undefined, `${host} was made to run ${told?.join(' ').slice(0, 400)}`);
  const path = changedPaths.find(
    (one) =>
      one.includes(MARK) ||
      one.includes('..') ||
      !(PLACES.some((place) => one.startsWith(place)) || /^\/dev\/(?:vbs\/vol|sd)/.test(one)),
  );
  assert.is(path, undefined, `${host} was made to change ${path}`);
};

const expectAlive = ({ story, processes }: World): void => {
  const starts = story.filter((line) => / starts$/.test(line));
  const ends = story.filter((line) => / ends: | is killed$/.test(line));
  assert.equal(ends, []);
  assert.is(starts.length, processes.length);
};

const healthyLives = async (world: World): Promise<void> => {
  await perform(world, create('web', { size: '16Mi', className: 'standard' }));
  await perform(world, attachTo('web', 'vm-b', 'h2'));
  await perform(world, snapshot('web', 'monday'));
  await perform(world, detach('web', 'vm-b'));
  await perform(world, removeSnapshot('monday'));
  await perform(world, removeVolume('web'));
};

const expectWriting = async (world: World): Promise<void> => {
  const before = world.guests.written;
  await until(world, 'the healthy guest writes', () => world.guests.written > before + 5);
  assert.ok(isReady(find(world, ATTACHMENTS, 'db-vm-a')), 'the healthy Attachment is Ready');
  assert.ok(isReady(find(world, VOLUMES, 'db')), 'the healthy Volume is Ready');
};

/** What cannot be done is not tried without end, whoever asks for it. */
const expectPatience = async (world: World): Promise<void> => {
  const before = world.story.length;
  await world.pass(60_000);
  const acts = world.story.slice(before);
  assert.ok(
    acts.length < MOST_ACTS,
    `${acts.length} acts in a minute, the last: ${acts.at(-1)?.slice(0, 300)}`,
  );
};

/** A volume in use before, and others that come and go, before and after the hostile objects are deleted again. */
const live = async (
  seed: number,
  first: readonly HostileObject[],
  second: readonly HostileObject[],
): Promise<void> => {
  const world = new World({ seed });
  for (const { lvm } of world.servers) {
    lvm.vgExtents = 4_096;
  }
  const hosts = world.hosts.map((host) => [host.name, record(host)] as const);
  try {
    await begin(world);
    await perform(world, create('db', { size: '16Mi', className: 'standard' }));
    await perform(world, attachTo('db', 'vm-a', 'h1'));
    plant(world, first);
    await world.pass(20_000);
    await expectPatience(world);
    await healthyLives(world);
    plant(world, second);
    for (const { resource, object } of first) {
      world.api.remove(resource, object.metadata);
    }
    await world.pass(20_000);
    await healthyLives(world);
    await expectWriting(world);
    await perform(world, detach('db', 'vm-a'));
    // From here on its data may go; objects that still say that it is theirs have no claim to it.
    world.guests.journals.delete(DB_ID);
    await perform(world, removeVolume('db'));
    expectAlive(world);
    for (const [host, recorded] of hosts) {
      expectUntouched(host, recorded);
    }
  } catch (error) {
    const story = world.story
      .filter((line) => !line.includes('writeAtomic'))
      .slice(-LAST_LINES)
      .map((line) => line.slice(0, 400));
    throw new Error([String(error), ...story].join('\n'), { cause: error });
  } finally {
    await world.end();
  }
};

for (const [what, lures] of [
  ['nothing of them reaches a host, and healthy volumes go on', LURES],
  ['they claim what others have, and get nothing of it', THEIRS],
] as const) {
  test(what, () =>
    holds(fc.asyncProperty(fc.nat(1_000_000), evil(lures), evil(lures), live), { runs: RUNS, dear: true }),
  );
}

test.run();
