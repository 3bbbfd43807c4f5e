// Disasters, and what an administrator does then.
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { parseAllDocuments } from 'yaml';
import type { Attachment } from '../../api/attachment.ts';
import { uuidFrom } from '../../api/ids.ts';
import { CONTINUES_CLUSTER } from '../../api/names.ts';
import { ATTACHMENTS, HYPERVISORS, VOLUMES } from '../../api/resources.ts';
import { inWorlds, leftoversOf, performAll, seedsOf, volumeIDOf } from '../sim/drill.ts';
import { isReady } from '../sim/judge.ts';
import { isHeartbeat } from '../sim/life.ts';
import { holdingsOf } from '../sim/programs.ts';
import {
  attach,
  change,
  create,
  detach,
  find,
  make,
  makeClass,
  remove,
  removeVolume,
  together,
} from '../sim/workflows.ts';

const test = suite('drills');
const SEEDS = seedsOf(3);

test('the store is set back to when the volume was attached elsewhere: there it is again, with all that was written since', () =>
  inWorlds(SEEDS, async (world) => {
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
  inWorlds(SEEDS, async (world) => {
    const backup = world.api.backup();
    await performAll(world, create('db'), attach('db', 'vm-a'));
    const id = volumeIDOf(world, 'db');
    world.api.restore(backup);
    const expected = [`Backing ${id}`, `Disk ${id}`, `Export iqn.2026-11.dev.vbs:${id}`];
    await world.until(
      'both hosts tell of it',
      () => expected.every((one) => leftoversOf(world).includes(one)),
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
  inWorlds(SEEDS, async (world) => {
    await performAll(world, create('db'), attach('db', 'vm-a'), create('idle'));
    const ids = [volumeIDOf(world, 'db'), volumeIDOf(world, 'idle')];
    const lost = uuidFrom('cluster');
    world.api.startAnew(uuidFrom('new cluster'));
    await world.pass(300_000);
    const manifests = await Promise.all(world.hosts.map((host) => holdingsOf(host)));
    world.api.startAnew(uuidFrom('new cluster'), { [CONTINUES_CLUSTER]: lost });
    makeClass(world);
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
    assert.equal([volumeIDOf(world, 'db'), volumeIDOf(world, 'idle')], ids);
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
  inWorlds(SEEDS, async (world) => {
    await performAll(world, create('db'));
    const id = volumeIDOf(world, 'db');
    world.api.startAnew(uuidFrom('new cluster'), { [CONTINUES_CLUSTER]: uuidFrom('cluster') });
    makeClass(world);
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
  inWorlds(SEEDS, async (world) => {
    await performAll(world, create('db'), attach('db', 'vm-a'));
    const id = volumeIDOf(world, 'db');
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
  inWorlds(SEEDS, async (world) => {
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

test('hosts that boot while requests to the API server get no answer serve from what they remember, soon', () =>
  inWorlds(SEEDS, async (world) => {
    await performAll(world, create('db'), attach('db', 'vm-a'));
    for (const name of ['s1', 'h1']) {
      world.cutFromApi(name, true);
      world.powerOff(name);
    }
    await world.pass(60_000);
    world.powerOn('s1');
    world.powerOn('h1');
    const { written } = world.guests;
    await world.until('the guest writes again', () => world.guests.written > written + 10, 150_000);
    world.cutFromApi('s1', false);
    world.cutFromApi('h1', false);
    await performAll(world, detach('db', 'vm-a'), attach('db', 'vm-b'));
    await performAll(world, together(detach('db', 'vm-b'), removeVolume('db')));
    await world.untilNothingLeft(600_000);
  }));

test('clocks that are hours off matter to nobody', () =>
  inWorlds(SEEDS, async (world) => {
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
