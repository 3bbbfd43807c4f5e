// Disasters, and what an administrator does then.
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { parseAllDocuments } from 'yaml';
import type { Attachment } from '../../api/attachment.ts';
import type { Hypervisor, VolumeServer } from '../../api/hosts.ts';
import { uuidFrom } from '../../api/ids.ts';
import { CONTINUES_CLUSTER } from '../../api/names.ts';
import { ATTACHMENTS, HYPERVISORS, VOLUME_CLASSES, VOLUME_SERVERS, VOLUMES } from '../../api/resources.ts';
import type { Volume } from '../../api/volume.ts';
import { isReady } from '../sim/judge.ts';
import { isHeartbeat } from '../sim/life.ts';
import { holdingsOf } from '../sim/programs.ts';
import {
  attach,
  begin,
  change,
  create,
  detach,
  find,
  make,
  NAMESPACE,
  perform,
  remove,
  removeVolume,
  type Step,
  together,
} from '../sim/workflows.ts';
import { World } from '../sim/world.ts';

const test = suite('drills');
const SEEDS = [1, 2, 3] as const;

const inWorlds = async (drill: (world: World) => Promise<void>): Promise<void> => {
  for (const seed of SEEDS) {
    const world = new World({ seed });
    try {
      await begin(world);
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

const idOf = (world: World, name: string): string =>
  world.api.find<Volume>(VOLUMES, { name, namespace: NAMESPACE })?.status?.volumeID ?? '';

test('the store is set back to when the volume was attached elsewhere: there it is again, with all that was written since', () =>
  inWorlds(async (world) => {
    await performAll(world, create('db'), attach('db', 'vm-a'));
    const backup = world.api.backup();
    await performAll(world, detach('db', 'vm-a'), attach('db', 'vm-b'));
    world.api.restore(backup);
    const wanted = (): boolean => {
      const [only, ...others] = world.guests.disks;
      return only?.vm === 'vm-a' && others.length === 0 && world.lie() === undefined && world.isQuiet();
    };
    await world.until('it is where the restored store wants it', wanted, 600_000);
    world.expectTruth();
    await performAll(world, together(detach('db', 'vm-a'), removeVolume('db')));
    await world.untilNothingLeft(600_000);
  }));

test('the store is set back to before there was a volume: its data and its disk stay, and are told of', () =>
  inWorlds(async (world) => {
    const backup = world.api.backup();
    await performAll(world, create('db'), attach('db', 'vm-a'));
    const id = idOf(world, 'db');
    world.api.restore(backup);
    const leftovers = (): readonly string[] =>
      [...world.api.all<VolumeServer>(VOLUME_SERVERS), ...world.api.all<Hypervisor>(HYPERVISORS)].flatMap(
        ({ status }) => status?.agent?.leftovers?.map(({ kind, name }) => `${kind} ${name}`) ?? [],
      );
    const expected = [`Backing ${id}`, `Disk ${id}`, `Export iqn.2026-11.dev.vbs:${id}`];
    await world.until(
      'both hosts tell of it',
      () => expected.every((one) => leftovers().includes(one)),
      600_000,
    );
    const { written } = world.guests;
    await world.pass(600_000);
    assert.ok(world.guests.written > written + 100, 'its guest goes on writing');
    const words = world.servers[0]?.words(id) ?? [];
    const journal = world.guests.journal(id);
    assert.ok(words.every((word, at) => journal.mayShow(at, word)));
  }));

test('the store is lost: a cluster that takes its place has all volumes back under their IDs, and no guest notices', () =>
  inWorlds(async (world) => {
    await performAll(world, create('db'), attach('db', 'vm-a'), create('idle'));
    const ids = [idOf(world, 'db'), idOf(world, 'idle')];
    const lost = uuidFrom('cluster');
    world.api.startAnew(uuidFrom('new cluster'));
    await world.pass(300_000);
    const manifests = await Promise.all(world.hosts.map((host) => holdingsOf(host)));
    world.api.startAnew(uuidFrom('new cluster'), { [CONTINUES_CLUSTER]: lost });
    make(world, VOLUME_CLASSES, 'standard', { default: true, poolSelector: { profile: 'lvm-thick' } });
    for (const document of manifests.flatMap((text) => parseAllDocuments(text))) {
      const { kind, metadata, spec } = (document.toJS() ?? {}) as Partial<Attachment>;
      const resource = [VOLUMES, ATTACHMENTS].find((one) => one.kind === kind);
      if (resource !== undefined && metadata !== undefined && spec !== undefined) {
        make(world, resource, metadata.name, spec);
      }
    }
    const from = world.story.length;
    const { written } = world.guests;
    const areReady = () =>
      ['db', 'idle'].every((name) => isReady(find(world, VOLUMES, name))) &&
      isReady(find(world, ATTACHMENTS, 'db-vm-a'));
    await world.until('all is as it was', areReady, 600_000);
    await world.pass(300_000);
    assert.ok(world.guests.written > written + 100, 'its guest goes on writing');
    const changes = world.story.slice(from).filter((line) => / (?:xl|iscsiadm|lvrename|rmdir) /.test(line));
    assert.equal(changes, [], 'and nothing was changed on any host');
    assert.equal([idOf(world, 'db'), idOf(world, 'idle')], ids);
    world.expectTruth();
    await performAll(world, detach('db', 'vm-a'), attach('db', 'vm-b'), attach('idle', 'vm-a'));
    for (const name of ['db', 'idle']) {
      change(world, VOLUMES, name, { deletionPolicy: 'Delete' });
    }
    await performAll(
      world,
      together(detach('db', 'vm-b'), detach('idle', 'vm-a'), removeVolume('db'), removeVolume('idle')),
    );
    await world.untilNothingLeft(600_000);
  }));

test('two Volumes name the same orphaned data: one has it', () =>
  inWorlds(async (world) => {
    await performAll(world, create('db'));
    const id = idOf(world, 'db');
    world.api.startAnew(uuidFrom('new cluster'), { [CONTINUES_CLUSTER]: uuidFrom('cluster') });
    make(world, VOLUME_CLASSES, 'standard', { default: true, poolSelector: { profile: 'lvm-thick' } });
    for (const name of ['db', 'other']) {
      make(world, VOLUMES, name, { source: { existing: { volumeServer: 's1', id } } });
    }
    const readies = () => ['db', 'other'].filter((name) => isReady(find(world, VOLUMES, name)));
    await world.until('one has it', () => readies().length > 0, 600_000);
    await world.pass(60_000);
    assert.is(readies().length, 1);
    const [loser = ''] = ['db', 'other'].filter((name) => !readies().includes(name));
    await performAll(world, removeVolume(loser));
    const [winner = ''] = readies();
    await performAll(world, attach(winner, 'vm-a'), together(detach(winner, 'vm-a'), removeVolume(winner)));
    await world.untilNothingLeft(600_000);
  }));

test('hosts that find another cluster at the old address do nothing', () =>
  inWorlds(async (world) => {
    await performAll(world, create('db'), attach('db', 'vm-a'));
    const id = idOf(world, 'db');
    world.api.becomeCluster(uuidFrom('another cluster'));
    for (const host of world.hosts) {
      world.kill(host.name);
    }
    remove(world, ATTACHMENTS, 'db-vm-a');
    remove(world, VOLUMES, 'db');
    const from = world.story.length;
    await world.pass(300_000);
    const acts = world.story
      .slice(from)
      .flatMap((line) => /^ *\S+ {2}(?:s1|h1|h2): (?<act>.*)$/.exec(line)?.groups?.act ?? [])
      .filter(
        (act) => !isHeartbeat(act) && !act.startsWith('patch ') && !act.startsWith('mkdir /var/lib/vbs'),
      );
    assert.equal(acts, []);
    assert.ok(world.servers[0]?.words(id));
    assert.is(world.guests.disks.length, 1);
  }));

test('a hypervisor that is cut off and fenced: its volume goes on elsewhere, and it cleans up when it is back', () =>
  inWorlds(async (world) => {
    await performAll(world, create('db'), attach('db', 'vm-a'));
    world.cut('h1', 's1', true);
    world.cutFromApi('h1', true);
    await world.pass(60_000);
    change(world, HYPERVISORS, 'h1', { fenced: true });
    remove(world, ATTACHMENTS, 'db-vm-a');
    const elsewhere = attach('db', 'vm-b');
    elsewhere.do(world);
    await world.until('it is attached elsewhere', () => elsewhere.isDone(world), 600_000);
    await world.pass(60_000);
    assert.ok(
      world.guests.disks.some(({ host }) => host === 'h1'),
      'the VM that was cut off still has it',
    );
    world.cut('h1', 's1', false);
    world.cutFromApi('h1', false);
    await world.until(
      'h1 has cleaned up',
      () => !world.guests.disks.some(({ host }) => host === 'h1'),
      600_000,
    );
    change(world, HYPERVISORS, 'h1', { fenced: false });
    await performAll(world, detach('db', 'vm-b'), attach('db', 'vm-a'));
    await performAll(world, together(detach('db', 'vm-a'), removeVolume('db')));
    await world.untilNothingLeft(600_000);
  }));

test('clocks that are hours off matter to nobody', () =>
  inWorlds(async (world) => {
    for (const [process, hours] of Object.entries({ controller: 1, s1: -1, h1: 24, h2: -3 })) {
      world.skews.set(process, hours * 3_600_000);
    }
    await performAll(world, create('db'), attach('db', 'vm-a'));
    for (const process of world.processes) {
      world.skews.set(process, -(world.skews.get(process) ?? 0));
    }
    await performAll(world, detach('db', 'vm-a'), attach('db', 'vm-b'));
    const [attachment] = world.api.all<Attachment>(ATTACHMENTS);
    assert.is(attachment?.metadata.name, 'db-vm-b');
    await performAll(world, together(detach('db', 'vm-b'), removeVolume('db')));
    await world.untilNothingLeft(600_000);
  }));

test.run();
